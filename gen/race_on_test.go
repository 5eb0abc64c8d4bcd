//go:build race

package gen_test

// oneIn is of how many inputs one is tried with the race detector, which sees in few
// what it would see in all: tools/test.sh tries all of them without it.
const oneIn = 8
