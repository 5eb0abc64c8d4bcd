package vet_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/taskctx/taskctx/internal/vetprograms"
	"github.com/taskctx/taskctx/vet"
)

// TestPrograms: of the mistakes that are sown in five programs, and of those of
// each kind alone, every one is found, nothing else is, and the fixes make of
// the programs what the golden files beside them are.
//
// Proves: FEATURES 111
func TestPrograms(t *testing.T) {
	analysistest.RunWithSuggestedFixes(t, vetprograms.Copy(t, ".."), together(t), "./...")
}

// together returns one analyzer that reports what all do, so that a program
// holds mistakes of several kinds.
func together(t *testing.T) *analysis.Analyzer {
	all := vet.Analyzers()
	require.NoError(t, analysis.Validate(all))
	return &analysis.Analyzer{
		Name: "taskvet", Doc: "run all analyzers", Requires: all[0].Requires, RunDespiteErrors: true,
		Run: func(pass *analysis.Pass) (any, error) {
			for _, a := range all {
				if _, err := a.Run(pass); err != nil {
					return nil, err
				}
			}
			return nil, nil
		},
	}
}

// TestPage: each analyzer has a section of the page that its URL leads to, and
// the page has no other.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../docs/taskvet.md")
	require.NoError(t, err)
	var want, got []string
	for _, a := range vet.Analyzers() {
		want = append(want, a.Name)
		assert.True(t, strings.HasSuffix(a.URL, "docs/taskvet.md#"+a.Name), a.URL)
	}
	for line := range strings.Lines(string(page)) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			got = append(got, strings.TrimSpace(name))
		}
	}
	assert.Equal(t, want, got)
}
