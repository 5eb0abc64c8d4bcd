package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// compressFrom is the size of an answer that is worth compressing, in bytes.
const compressFrom = 1400

// compressors are writers that compress fast.
var compressors = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is one
	}
	return z
}}

// compressible reports whether an answer to the request may be compressed: the client
// reads it, and no page of another origin asks, which could choose a part of the answer
// and learn others from the size of the whole.
func compressible(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	return acceptsGzip(r.Header.Get("Accept-Encoding"))
}

// acceptsGzip reports whether a header Accept-Encoding has gzip.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "gzip" {
			q = strings.ReplaceAll(q, " ", "")
			return q != "q=0" && strings.Trim(q, "0.") != "q="
		}
	}
	return false
}

// compressed returns the body compressed.
func compressed(body []byte) []byte {
	var b bytes.Buffer
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	z.Reset(&b)
	if _, err := z.Write(body); err != nil {
		return nil // a buffer takes everything
	}
	if err := z.Close(); err != nil {
		return nil
	}
	return b.Bytes()
}

// answer writes a body that is made already.
func (q *request) answer(code int, contentType string, body []byte) {
	header := q.w.Header()
	header.Set("Content-Type", contentType)
	if len(body) >= compressFrom {
		header.Add("Vary", "Accept-Encoding, Sec-Fetch-Site")
		if compressible(q.Request) {
			header.Set("Content-Encoding", "gzip")
			body = compressed(body)
		}
	}
	q.w.WriteHeader(code)
	_, _ = q.w.Write(body) // the client is gone
}
