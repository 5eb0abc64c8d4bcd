package runtime_test

import (
	"fmt"
	"iter"

	"github.com/taskctx/taskctx/runtime"
)

// Pages is an iterator task: generated code passes what it returns to Each, with
// the function that the annotation names.
//
//	//task:context each=countWords
//	func Pages(ctx *runtime.Context, site string) iter.Seq2[string, error]
//
//	func countWords(ctx *runtime.Context, page string) (int, error)
func ExampleEach() {
	sitePages := func(yield func(string, error) bool) {
		_ = yield("one two", nil) && yield("three", nil)
	}
	countLetters := func(ctx *runtime.Context, page string) (int, error) {
		ctx.Progress(0, 0, page)
		return len(page), nil
	}
	runAsTask(func(ctx *runtime.Context) error {
		counts, err := runtime.Each(ctx, iter.Seq2[string, error](sitePages), countLetters)
		fmt.Println(counts)
		return err
	})
	// Output: [7 5]
}
