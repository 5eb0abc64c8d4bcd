package bulk

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Priorities returns the priorities that a filter's text has, with commas between.
func Priorities(text string) (ps []int8, err error) {
	for p := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(strings.TrimSpace(p))
		if err != nil || n < 0 || n >= engine.Priorities {
			return nil, fmt.Errorf("%q is not from 0 to %d", p, engine.Priorities-1)
		}
		ps = append(ps, int8(n))
	}
	return ps, nil
}
