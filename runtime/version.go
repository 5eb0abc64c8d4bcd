package runtime

// RunGoGenerateIfUndefinedV3 ties generated code to its version of the
// runtime: every generated file names the constant of its version, and a
// runtime that generated code must not use any more no longer declares it.
//
// V3 is of code that imports the package wire.
const RunGoGenerateIfUndefinedV3 = true
