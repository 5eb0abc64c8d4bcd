// Crawler fetches pages, each in a task, and follows their links.
package crawler

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

var client = runtime.NewKey("client", runtime.PerWorker, func(c *http.Client) error {
	c.CloseIdleConnections()
	return nil
})

// Fetch returns the size of a page.
//
//task:context retries=2 timeout=1m
func Fetch(ctx context.Context, url string) (int64, error) {
	c, err := runtime.Stored(ctx, client, func(context.Context) (*http.Client, error) {
		return http.DefaultClient, pinged(context.Background()) // lives longer than the task
	})
	if err != nil {
		return 0, err
	}
	seen := runtime.NewShared("seen", func() int { return 0 }) // want `runtime.NewShared in a task makes another one in each run`
	if err := seen.Set(ctx, 1); err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(context.TODO(), http.MethodGet, url, nil) // want `context.TODO in a task does not stop with it`
	if err != nil {
		return 0, runtime.Permanent(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	defer pinged(context.Background()) // want `context.Background in a task knows nothing of it: what goes on after its end takes context.WithoutCancel`
	return io.Copy(io.Discard, resp.Body)
}

func pinged(ctx context.Context) error { return ctx.Err() }

// Crawl fetches a page and those that it links to.
//
//task:context
func Crawl(ctx *runtime.Context, urls []string) (total int64, err error) {
	var mu sync.Mutex
	for _, url := range urls {
		h, err := EnqueueFetch(ctx, ctx.App(), url)
		if err != nil {
			return 0, err
		}
		go func() { // want `a panic in this goroutine ends the process with all its tasks`
			mu.Lock()
			defer mu.Unlock()
			total++
		}()
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		size, err := h.Wait(limited) // want `Wait in a task is ErrWaitInTask`
		cancel()
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}

// Watch watches a page for a day.
//
//task:context
func Watch(ctx *runtime.Context, url string) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- errors.New("panicked")
			}
		}()
		done <- nil
	}()
	go poll(url, done) // want `a panic in this goroutine ends the process with all its tasks`
	<-time.After(time.Hour) // want `<-time.After in a task goes on when the task must stop`
	select {
	case err := <-done:
		return err
	case <-time.After(time.Hour):
		return ctx.Sleep(time.Second)
	}
}

func poll(url string, done chan<- error) { done <- nil }
