package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode"
	"unicode/utf8"
)

// maxFile is the size of the largest file that is indexed, in bytes.
const maxFile = 64 << 20

// document is a file as the index keeps it.
type document struct {
	size  int64
	mtime int64 // in ns since 1970
	hash  string
	words int
	text  string
}

var (
	errNotUTF8 = errors.New("not UTF-8 text")
	errNUL     = errors.New("not text: it has a NUL byte")
	errTooBig  = fmt.Errorf("larger than %d MiB", maxFile>>20)
)

// readDocument reads a file of UTF-8 text.
func readDocument(path string) (*document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxFile:
		return nil, &os.PathError{Op: "read", Path: path, Err: errTooBig}
	case !utf8.Valid(text):
		return nil, &os.PathError{Op: "read", Path: path, Err: errNotUTF8}
	case bytes.IndexByte(text, 0) >= 0:
		return nil, &os.PathError{Op: "read", Path: path, Err: errNUL}
	}
	sum := sha256.Sum256(text)
	return &document{
		size: info.Size(), mtime: info.ModTime().UnixNano(), hash: hex.EncodeToString(sum[:]),
		words: countWords(text), text: string(text),
	}, nil
}

// countWords counts the words as the index divides them: runs of letters,
// digits and underscores.
func countWords(text []byte) int {
	n, in := 0, false
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		word := r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
		if word && !in {
			n++
		}
		in = word
	}
	return n
}
