//go:build !race

package gen_test

const oneIn = 1
