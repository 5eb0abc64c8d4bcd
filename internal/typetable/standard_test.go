package typetable

import (
	"go/types"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"

	"github.com/taskctx/taskctx/gen/wiretype"
)

// wiretype knows all types of the standard library that encode themselves, of
// whatever version of Go runs the test: so their names on the wire stay when one
// moves behind an alias, and each was looked at for what it loses.
func TestStandardLibrary_IsKnown(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library")
	}
	pkgs, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports}, "std")
	require.NoError(t, err)
	for _, pkg := range pkgs {
		if strings.Contains(pkg.PkgPath, "internal") || strings.HasPrefix(pkg.PkgPath, "vendor/") {
			continue
		}
		scope := pkg.Types.Scope()
		for _, name := range scope.Names() {
			obj, ok := scope.Lookup(name).(*types.TypeName)
			if !ok || !obj.Exported() || types.IsInterface(obj.Type()) {
				continue
			}
			typ, called := obj.Type(), pkg.Name+"."+name
			for _, t2 := range []types.Type{typ, types.NewPointer(typ)} {
				assert.Empty(t, wiretype.LimitsOf(t2, nil).Trusted, "wiretype does not know %s", called)
			}
			encodesItself := types.NewMethodSet(types.NewPointer(typ)).Lookup(nil, "MarshalText") != nil ||
				types.NewMethodSet(types.NewPointer(typ)).Lookup(nil, "MarshalJSON") != nil
			if obj.IsAlias() && encodesItself {
				assert.Equal(t, called, wiretype.Fingerprint(typ), "an alias of %s", types.Unalias(typ))
				assert.Equal(t, called, wiretype.Fingerprint(types.Unalias(typ)), "the type that moved")
			}
		}
	}
}
