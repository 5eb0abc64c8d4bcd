// Package twogo tests that workers built by two versions of Go share a queue:
// Go 1.27 has another encoding/json.
package twogo
