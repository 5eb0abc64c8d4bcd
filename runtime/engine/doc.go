// Package engine is the contract between an App and the engine that stores its
// tasks: memory, a SQLite file, Postgres, Redis, or one that you write. People
// who write tasks use it to read the store's answers: the states, [Query],
// [Count] and the errors.
//
// The package enginetest tests an engine against the contract. Nothing here
// knows an App: the package runtime decides what a failure means, when to
// retry and what a payload holds.
package engine
