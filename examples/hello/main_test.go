package main

// Example runs the whole program. The retry is told by the log, on the
// standard error.
func Example() {
	main()
	// Output:
	// hello, gopher
	// 3 coffees cost 750 cents
}
