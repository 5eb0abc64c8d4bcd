package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"

	"github.com/google/uuid"
)

//go:embed assets
var assetFiles embed.FS

// asset is a file that pages refer to.
type asset struct {
	body        []byte
	contentType string
	version     string // of its content
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
		all[e.Name()] = &asset{body, contentTypes[path.Ext(e.Name())], hex.EncodeToString(sum[:6])}
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
	if r.URL.Query().Get("v") == a.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	w.Header().Set("Content-Type", a.contentType)
	_, _ = w.Write(a.body) // the client is gone
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
	return (&filter{Name: text}).link("tasks")
}
