package golangci_test

import (
	"testing"

	"github.com/golangci/plugin-module-register/register"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "github.com/taskctx/taskctx/vet/golangci"
)

// TestPlugin: golangci-lint finds the plugin by its name, and leaves out what
// the settings say.
func TestPlugin(t *testing.T) {
	make, err := register.GetPlugin("taskvet")
	require.NoError(t, err)
	all, err := make(nil)
	require.NoError(t, err)
	assert.Equal(t, register.LoadModeTypesInfo, all.GetLoadMode())
	analyzers, err := all.BuildAnalyzers()
	require.NoError(t, err)

	less, err := make(map[string]any{"disable": []string{"taskgo", "taskfresh"}})
	require.NoError(t, err)
	rest, err := less.BuildAnalyzers()
	require.NoError(t, err)
	assert.Len(t, rest, len(analyzers)-2)
	for _, a := range rest {
		assert.NotContains(t, []string{"taskgo", "taskfresh"}, a.Name)
	}

	_, err = make(map[string]any{"disable": []string{"tasknone"}})
	require.EqualError(t, err, `settings of taskvet: there is no analyzer "tasknone"`)
	_, err = make(map[string]any{"enable": true})
	require.Error(t, err)
}
