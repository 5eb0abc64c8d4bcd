// Package redis is the engine on Redis, in asynq's layout.
package redis
