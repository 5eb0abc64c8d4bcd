package typetable

import (
	"go/token"
	"go/types"
	"testing"

	"golang.org/x/tools/go/packages"

	"github.com/taskctx/taskctx/gen/wiretype"
)

// typesByLine type-checks this package and returns the type argument of each
// call that declares a category, by its line.
func typesByLine(t *testing.T) map[int]types.Type {
	t.Helper()
	cfg := &packages.Config{
		Mode:  packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedName,
		Tests: true,
	}
	pkgs, err := packages.Load(cfg, ".")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]types.Type{}
	for _, pkg := range pkgs {
		for _, err := range pkg.Errors {
			t.Fatal(err)
		}
		for id, instance := range pkg.TypesInfo.Instances {
			if id.Name == "of" || id.Name == "ofEqual" {
				found[pkg.Fset.Position(id.Pos()).Line] = instance.TypeArgs.At(0)
			}
		}
	}
	return found
}

// wrappedVerdicts asks wiretype about the type, by itself and inside of others.
func wrappedVerdicts(t types.Type) verdicts {
	says := verdicts{}
	for inside, t := range wrapped(t) {
		says[inside] = verdict{wiretype.Check(t, nil), wiretype.LimitsOf(t, nil)}
	}
	return says
}

// wrapped returns the type by itself and inside of others, as trips go.
func wrapped(t types.Type) map[string]types.Type {
	field := types.NewField(token.NoPos, nil, "V", t, false)
	return map[string]types.Type{
		"":        t,
		"struct":  types.NewStruct([]*types.Var{field}, nil),
		"slice":   types.NewSlice(t),
		"array":   types.NewArray(t, 2),
		"map":     types.NewMap(types.Typ[types.String], t),
		"pointer": types.NewPointer(t),
	}
}
