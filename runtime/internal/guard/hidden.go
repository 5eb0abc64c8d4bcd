package guard

// Hidden hides the text of an error that may hold a value.
type Hidden struct {
	Text string
	Err  error
}

func (e *Hidden) Error() string { return e.Text }

// Unwrap returns the error behind the hidden text.
func (e *Hidden) Unwrap() error { return e.Err }
