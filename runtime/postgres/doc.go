// Package postgres is an engine on PostgreSQL.
package postgres
