//go:build race

package web_test

// hugeTexts is how often a huge text repeats its 8 bytes: 40 kB, since the race detector
// makes what encodes all of it ten times as slow. tools/test.sh runs it whole without.
const hugeTexts = 5_000
