//go:build !race

package web_test

// hugeTexts is how often a huge text repeats its 8 bytes: 1.2 MB.
const hugeTexts = 150_000
