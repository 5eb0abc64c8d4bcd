package sqlite_test

const workerFile = "TASKCTX_SQLITE_WORKER"

func workerMain(string) {}
