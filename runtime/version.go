package runtime

// RunGoGenerateIfUndefinedV3 ties generated code to its version of the
// runtime: every generated file names the constant of its version, and a
// runtime that generated code must not use any more no longer declares it.
//
// V4 is of code that has one method for the arguments of a task.
const RunGoGenerateIfUndefinedV4 = true
