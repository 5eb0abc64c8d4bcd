// Package servertest gives tests real database servers: it starts a private
// PostgreSQL or Redis from the programs on the machine, on a free port of the
// loopback address, in a temporary folder, and stops it when the test binary
// ends, however it ends.
//
// TASKCTX_POSTGRES_URL and TASKCTX_REDIS_URL name servers to use instead. Where
// there is neither, tests that ask for one are skipped by name; with
// TASKCTX_REQUIRE_SERVERS=1 they fail, so that a run that is to prove something
// cannot pass by skipping. So it is with tests that need another command.
//
// The servers do not sync to disk: they outlive their clients and themselves
// being stopped or killed, not the machine.
package servertest
