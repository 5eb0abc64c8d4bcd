package web_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/web"
)

// TestAnswers_AreCompressed: pages, the API and the files that pages need, for those who
// read it, but for pages of other origins, which could learn of secrets by sizes.
func TestAnswers_AreCompressed(t *testing.T) {
	shop := newShop(t)
	require.NoError(t, shop.Fill(t.Context(), 12))
	s := serve(t, shop.App, web.Config{})
	page := s.get("tasks?state=succeeded", "Accept-Encoding", "identity")
	style := regexp.MustCompile(`assets/style\.css\?v=\w+`).FindString(page.text)
	for _, path := range []string{"tasks?state=succeeded", "api/tasks", style} {
		plain := s.get(path, "Accept-Encoding", "identity")
		require.Equal(t, http.StatusOK, plain.StatusCode)
		assert.Empty(t, plain.Header.Get("Content-Encoding"), path)
		assert.Contains(t, strings.Join(plain.Header.Values("Vary"), ", "), "Accept-Encoding", path)
		for _, site := range []string{"same-origin", "none", ""} {
			a := s.get(path, "Accept-Encoding", "br, gzip;q=0.5", "Sec-Fetch-Site", site)
			require.Equal(t, "gzip", a.Header.Get("Content-Encoding"), "%s %s", path, site)
			assert.Less(t, len(a.text), len(plain.text)/2)
			z, err := gzip.NewReader(strings.NewReader(a.text))
			require.NoError(t, err)
			text, err := io.ReadAll(z)
			require.NoError(t, err)
			assert.InDelta(t, len(plain.text), len(text), 200, path) // times are another
		}
		assert.Empty(t, s.get(path, "Accept-Encoding", "gzip;q=0.0").Header.Get("Content-Encoding"), path)
		if path != style {
			assert.Empty(t, s.get(path, "Accept-Encoding", "gzip", "Sec-Fetch-Site", "cross-site").Header.Get("Content-Encoding"), path)
		}
	}
	assert.Empty(t, s.get("api/health", "Accept-Encoding", "gzip").Header.Get("Content-Encoding"), "it is short")

	for _, encoding := range []string{"identity", "gzip"} {
		a := s.get(style, "Accept-Encoding", encoding)
		assert.Contains(t, a.Header.Get("Cache-Control"), "immutable")
		tag := a.Header.Get("ETag")
		require.NotEmpty(t, tag)
		again := s.get(style, "Accept-Encoding", encoding, "If-None-Match", tag)
		assert.Equal(t, http.StatusNotModified, again.StatusCode)
		assert.Empty(t, again.text)
	}
	assert.Equal(t, "no-cache", s.get("assets/style.css").Header.Get("Cache-Control"))
	for _, path := range []string{"", "api/queues", style} {
		a := s.do("HEAD", path, "", "")
		assert.Equal(t, http.StatusOK, a.StatusCode, path)
		assert.Empty(t, a.text)
	}
}
