module example.com/programs

go 1.26.0

require github.com/taskctx/taskctx v0.0.0

require github.com/google/uuid v1.6.0 // indirect

replace github.com/taskctx/taskctx => ../..
