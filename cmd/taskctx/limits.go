package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

func limitsFlags(f *flag.FlagSet) action {
	asJSON := f.Bool("json", false, "write a line of JSON for each")
	set := f.String("set", "", "first set the limit of a `RULE=N`; -1 takes back what was set")
	return func(ctx context.Context, s *session, _ []string) error {
		if *set != "" {
			i := strings.LastIndexByte(*set, '=')
			if i < 1 {
				return usagef("-set %q: want RULE=N", *set)
			}
			n, err := strconv.Atoi((*set)[i+1:])
			if err != nil {
				return usagef("-set %q: %q is no number", *set, (*set)[i+1:])
			}
			if err := s.app.SetLimit(ctx, (*set)[:i], n); err != nil {
				return err
			}
		}
		counts, err := s.app.Limits(ctx)
		if err != nil {
			return err
		}
		if *asJSON {
			e := json.NewEncoder(s.out)
			for _, c := range counts {
				if err := e.Encode(c); err != nil {
					return err
				}
			}
			return nil
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "RULE\tPER\tSET\tKEYS\tHELD\tWAITING")
		for _, c := range counts {
			limit := "-"
			if c.Set >= 0 {
				limit = strconv.Itoa(c.Set)
			}
			per := "-"
			if c.Per > 0 {
				per = c.Per.String()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\n", oneLine(c.Rule), per, limit, c.Keys, c.Held, c.Waiting)
		}
		return w.Flush()
	}
}
