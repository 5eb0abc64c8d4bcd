// Package golangci is taskvet as a module plugin of golangci-lint: name it in
// .custom-gcl.yml, and enable the linter "taskvet" as one of type "module".
// Its setting "disable" lists analyzers that are not to run.
package golangci

import (
	"fmt"
	"slices"

	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"

	"github.com/taskctx/taskctx/vet"
)

func init() { register.Plugin("taskvet", New) } //nolint:gochecknoinits // the way plugins are found

// Settings are the plugin's settings in .golangci.yml.
type Settings struct {
	Disable []string `json:"disable"`
}

type plugin struct{ analyzers []*analysis.Analyzer }

// New returns the plugin with the settings, or an error if they name an analyzer
// that there is not.
func New(settings any) (register.LinterPlugin, error) {
	s, err := register.DecodeSettings[Settings](settings)
	if err != nil {
		return nil, fmt.Errorf("settings of taskvet: %w", err)
	}
	p := &plugin{vet.Analyzers()}
	for _, name := range s.Disable {
		i := slices.IndexFunc(p.analyzers, func(a *analysis.Analyzer) bool { return a.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("settings of taskvet: there is no analyzer %q", name)
		}
		p.analyzers = slices.Delete(p.analyzers, i, i+1)
	}
	return p, nil
}

// BuildAnalyzers returns the analyzers that run.
func (p *plugin) BuildAnalyzers() ([]*analysis.Analyzer, error) { return p.analyzers, nil }

// GetLoadMode says that the analyzers need types.
func (p *plugin) GetLoadMode() string { return register.LoadModeTypesInfo }
