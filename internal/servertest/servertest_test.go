package servertest_test

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/internal/servertest"
)

// answers reports whether something listens at the URL's address.
func answers(t *testing.T, raw string) bool {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func TestServer_StopAndStart(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *servertest.Server{
		"postgres": servertest.NewPostgres, "redis": servertest.NewRedis,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			for _, end := range []func(testing.TB){s.Stop, s.Kill} {
				if !answers(t, s.URL) {
					t.Fatal("the server does not answer after its start")
				}
				end(t)
				if answers(t, s.URL) {
					t.Fatal("the server answers after its end")
				}
				s.Start(t)
			}
		})
	}
}

// TestServer_GoneWithItsProcess runs this binary again, as a test that starts both
// servers and is then killed.
func TestServer_GoneWithItsProcess(t *testing.T) {
	if os.Getenv("SERVERTEST_CHILD") != "" {
		redis, _ := servertest.Redis(t)
		os.Stdout.WriteString(servertest.Postgres(t) + "\n" + redis + "\n")
		select {}
	}
	servertest.NewPostgres(t) // skips where there is none
	servertest.NewRedis(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestServer_GoneWithItsProcess$")
	cmd.Env = append(os.Environ(), "SERVERTEST_CHILD=1", servertest.EnvPostgres+"=", servertest.EnvRedis+"=")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	b := make([]byte, 1024)
	for strings.Count(said.String(), "\n") < 2 {
		n, err := out.Read(b)
		if err != nil {
			t.Fatalf("the child ended early: %v\n%s", err, said.String())
		}
		said.Write(b[:n])
	}
	urls := strings.Fields(said.String())
	for _, u := range urls {
		if !answers(t, u) {
			t.Errorf("%s does not answer", u)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if !answers(t, urls[0]) && !answers(t, urls[1]) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a server outlives its test: %v", urls)
		}
	}
}
