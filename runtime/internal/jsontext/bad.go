package jsontext

// Complaints about JSON, in words that show none of it.
const (
	BadSyntax    = "is not valid JSON"
	BadUTF8      = "contains a string that is not valid UTF-8"
	BadDuplicate = "contains an object with a duplicate key"
	BadDepth     = "is nested too deep"
	BadNull      = "is or contains null where that means nothing"
	BadLoop      = "contains a value that JSON cannot hold, or itself"
	BadLength    = "contains an array of another length"
)
