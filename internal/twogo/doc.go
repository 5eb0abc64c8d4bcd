// Package twogo tests that workers built by two versions of Go share a queue:
// encoding/json is another one since Go 1.27.
package twogo
