package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// figure is a tool's median time on one shape.
type figure struct {
	Tool, Version, Column string
	Missing               string        `json:",omitempty"` // in place of the rest: why there is none
	Wall, CPU             time.Duration // of the clock, and of the processors
	BaseWall, BaseCPU     time.Duration // of taskgen in the same run
}

// figures are those of this run, and kept ones of earlier runs.
type figures struct{ list []figure }

func readFigures(name string) (*figures, error) {
	all := &figures{}
	if name == "" {
		return all, nil
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &all.list)
	}
	return all, err
}

func (all *figures) save(name string) error {
	if name == "" {
		return nil
	}
	data, err := json.MarshalIndent(all.list, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o666)
}

// put adds a figure, in the place of an older one.
func (all *figures) put(f figure) {
	old := slices.IndexFunc(all.list, func(g figure) bool { return g.Tool == f.Tool && g.Column == f.Column })
	if old >= 0 {
		all.list[old] = f
	} else {
		all.list = append(all.list, f)
	}
}

// drop removes a figure.
func (all *figures) drop(tool, column string) {
	all.list = slices.DeleteFunc(all.list, func(f figure) bool { return f.Tool == tool && f.Column == column })
}

func (all *figures) get(tool, column string) (figure, bool) {
	i := slices.IndexFunc(all.list, func(f figure) bool { return f.Tool == tool && f.Column == column })
	if i < 0 {
		return figure{}, false
	}
	return all.list[i], true
}

// measure runs a tool n times with nothing changed, and n times after an edit
// of one file.
func measure(t tool, s *shape, n int) ([]figure, error) {
	if t.prepare != nil {
		if err := t.prepare(s); err != nil {
			return nil, err
		}
	}
	if err := t.run(t.bin, s); err != nil { // warm
		return nil, err
	}
	if err := t.wrote(s); err != nil {
		return nil, err
	}
	var list []figure
	for _, column := range []string{s.name, s.name + edited} {
		var wall, cpu []time.Duration
		for range n {
			if column != s.name {
				if err := s.edit(); err != nil {
					return nil, err
				}
			}
			s.cpu = 0
			start := time.Now()
			if err := t.run(t.bin, s); err != nil {
				return nil, err
			}
			wall = append(wall, time.Since(start))
			cpu = append(cpu, s.cpu)
		}
		slices.Sort(wall)
		slices.Sort(cpu)
		list = append(list, figure{Tool: t.name, Version: t.version, Column: column, Wall: wall[n/2], CPU: cpu[n/2]})
	}
	return list, nil
}

// wrote checks that the tool did its work: the last package has at least a
// function for each item.
func (t *tool) wrote(s *shape) error {
	if t.output == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(s.dir, fmt.Sprintf("p%d", s.packages-1), t.output))
	if err != nil {
		return err
	}
	if n := bytes.Count(data, []byte("\nfunc ")); n < s.items {
		return fmt.Errorf("%s has %d functions for %d items", t.output, n, s.items)
	}
	return nil
}
