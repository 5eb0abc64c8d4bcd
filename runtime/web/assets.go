package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

//go:embed assets
var assetFiles embed.FS

// asset is a file that pages refer to.
type asset struct {
	body        []byte
	contentType string
	version     string        // of its content
	small       func() []byte // compressed, nil where it is small
}

// assets are all files by name.
var assets = readAssets()

var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8",
}

func readAssets() map[string]*asset {
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // it is part of the program
	}
	all := make(map[string]*asset)
	for _, e := range entries {
		body, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		a := &asset{body: body, contentType: contentTypes[path.Ext(e.Name())], version: hex.EncodeToString(sum[:6])}
		if len(body) >= compressFrom {
			a.small = sync.OnceValue(func() []byte { return compressed(body) })
		}
		all[e.Name()] = a
	}
	return all
}

// assetURL is where a file is, relative to the first page: another one when its
// content is another.
func assetURL(name string) string {
	if a := assets[name]; a != nil {
		return "assets/" + name + "?v=" + a.version
	}
	return "assets/" + name
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	a := assets[r.PathValue("name")]
	if a == nil || a.contentType == "" {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	header, body, tag := w.Header(), a.body, `"`+a.version+`"`
	header.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.version {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	header.Set("Content-Type", a.contentType)
	if a.small != nil {
		header.Set("Vary", "Accept-Encoding") // it is the same for everybody
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			header.Set("Content-Encoding", "gzip")
			body, tag = a.small(), `"`+a.version+`z"`
		}
	}
	header.Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// found is where a text to look for leads, relative to the first page.
func found(text string) string {
	text = strings.TrimSpace(text)
	if id, err := uuid.Parse(text); err == nil {
		return "tasks/" + id.String()
	}
	if text == "" || len(text) > maxLine {
		return "tasks"
	}
	return (&filter{Name: text}).link()
}
