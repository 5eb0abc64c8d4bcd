//go:build tools

// Package peers pins the generators that taskgen is measured beside, and the
// imports of their generated code, in a module of its own: no user of taskctx
// downloads them.
package peers

import (
	_ "github.com/google/wire"
	_ "github.com/stretchr/testify/mock"
)
