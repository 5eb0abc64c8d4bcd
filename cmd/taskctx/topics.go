package main

// topics are the texts of taskctx help TOPIC.
var topics = map[string]string{
	"completion": `
Shells complete commands, flags, states, and names of queues, tasks and workers, which they ask the engine of -engine or
$TASKCTX_ENGINE for. Put into the shell's start-up file:

  bash  source <(taskctx completion bash)
  zsh   source <(taskctx completion zsh)       after compinit
  fish  taskctx completion fish | source
`,
	"engines": `
An engine is named by a URL, in -engine or $TASKCTX_ENGINE:

  sqlite:tasks.db                        a file; sqlite:/srv/tasks.db is an absolute path
  postgres://user@host/database          Postgres; ?schema=jobs for another schema than taskctx's own,
                                         further parameters as libpq has them, such as ?sslmode=verify-full
  redis://host:6379/0                    Redis; rediss:// with TLS; any server of a Redis Cluster, with
                                         ?hash_tag=shop for an app whose tag is not the default
  memory:                                of no use here: it is the memory of another process

Passwords belong into the URL, with %, /, ?, #, @ and : escaped, or for Postgres into PGPASSWORD or ~/.pgpass.
Nothing is created or migrated by looking.
`,
	"filters": `
list and retry, run, cancel and delete with -all select tasks by the same flags, which all must hold:

  -state failed,cancelled   states: scheduled, pending, running, retrying, waiting, succeeded, failed, cancelled
  -name, -queue, -worker    exactly these
  -priority 2,3             priorities, from 0 to 3
  -tag KEY or KEY:VALUE     a tag
  -reason 'card * declined' text in the reason; * is any text, ^ the begin and $ the end of its first line
  -since 2h -until 10m      when something last became of the task: so long ago, or a time as 2026-01-02T15:04
  -parent ID                tasks that one has enqueued
  -root ID                  all tasks of a tree but its first
`,
	"night": `
What is broken?     taskctx watch; taskctx workers; taskctx paused
Since when?         taskctx list -state failed -since 2h -newest
Why?                taskctx list -state failed -reason 'declined'; taskctx show ID; taskctx tree ID
What do I press?    taskctx retry -all -state failed -reason 'declined'   (it says how many, and asks)
                    taskctx run -all -state retrying    (now, not when their time comes)
                    taskctx delete -all ...; taskctx cancel -tree ID; taskctx pause QUEUE; taskctx resume QUEUE
The same on pages:  taskctx serve
`,
	"exit": `
0 all was done; 1 something was not, and the error says what; 2 the call is wrong; 130 it was interrupted.
`,
}
