package main

import (
	"bytes"
	"os"

	"golang.org/x/term"
)

// screen is a terminal that is drawn anew again and again, without flicker and
// within its size.
type screen struct {
	out           *os.File
	width, height int // when it was last drawn
}

// size returns the terminal's columns and lines, 0 where they are not known.
func (s *screen) size() (width, height int) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

// draw replaces the shown text. It cuts off text beyond the screen, since a
// line that wraps would move all below it.
func (s *screen) draw(text []byte) error {
	width, height := s.size()
	var b bytes.Buffer
	if width != s.width || height != s.height {
		b.WriteString("\x1b[2J") // clear it
	}
	s.width, s.height = width, height
	b.WriteString("\x1b[H") // to the top left
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if height > 1 && len(lines) > height-1 {
		lines = append(lines[:height-2:height-2], []byte("..."))
	}
	for _, line := range lines {
		if runes := bytes.Runes(line); width > 0 && len(runes) > width {
			line = []byte(string(runes[:width]))
		}
		b.Write(line)
		b.WriteString("\x1b[K\n") // and clear the rest of the line
	}
	b.WriteString("\x1b[J") // and the lines below
	_, err := s.out.Write(b.Bytes())
	return err
}
