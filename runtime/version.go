package runtime

// RunGoGenerateIfUndefinedV1 ties generated code to the runtime it was
// generated for: every generated file names the constant of its version, and a
// runtime that generated code must not use any more no longer declares it.
//
// V1 is of code that registered each task by a function literal.
const (
	RunGoGenerateIfUndefinedV1 = true
	RunGoGenerateIfUndefinedV2 = true
)
