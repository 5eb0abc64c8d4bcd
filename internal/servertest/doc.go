// Package servertest gives tests real database servers: it starts a private
// PostgreSQL or Redis from the programs on the machine, on a free port of the
// loopback address, in a temporary folder, and stops it when the test binary
// ends, however it ends.
//
// TASKCTX_POSTGRES_URL and TASKCTX_REDIS_URL name servers to use instead.
// Without either, tests that ask for a server are skipped by name. With
// TASKCTX_REQUIRE_SERVERS=1 they fail, so that a run that must prove something
// cannot pass by skipping. The same holds for tests that need another command.
//
// The servers do not sync to disk: their data survives that they or their
// clients are stopped or killed, but not a crash of the machine.
package servertest
