package sqlite

import (
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// Errors of this engine. Test for them with errors.Is.
var (
	// ErrDamaged: the file is no SQLite database, or a broken one. The engine
	// writes nothing to it.
	ErrDamaged = errors.New("file is damaged or not a SQLite database")
	// ErrNewer: a newer version of this package changed the file so that this
	// one cannot work with it. The engine writes nothing to it.
	ErrNewer = errors.New("file has a newer schema than this version knows")
	// ErrForeign: the file is a SQLite database of another program. The engine
	// writes nothing to it.
	ErrForeign = errors.New("file is a database of another program")
	// ErrLinked: the file has several names, by hard links. The log of what it
	// lacks is beside one of them alone, where no other finds it: opened by two
	// names it would be damaged. A symbolic link, or a copy, is none of these.
	ErrLinked = errors.New("file has hard links")
	// ErrReadOnly: the file or its folder cannot be written.
	ErrReadOnly = errors.New("file is read-only")
	// ErrEmpty: the file has no tasks, and Config.Existing forbids making any
	// tables.
	ErrEmpty = errors.New("file has no tasks")
	// ErrGone: the file, or the log beside it, was deleted or replaced while
	// it was open. The engine cannot go on; inserts since then ended with this
	// error.
	ErrGone = errors.New("file was deleted or replaced while it was open")
	// ErrBusy: another process held the write lock for longer than
	// Config.BusyTimeout. Nothing was stored.
	ErrBusy = errors.New("file is locked by another process")
	// ErrFull: the disk is full, or the file has the size of Config.MaxSize.
	// Nothing was stored. It wraps [engine.ErrQueueFull].
	ErrFull = fmt.Errorf("disk or file is full: %w", engine.ErrQueueFull)
)

// explain wraps an error of SQLite in the fitting error above.
func (e *Engine) explain(err error) error {
	if err == nil {
		return nil
	}
	if kind := kindOf(err); kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("sqlite %s: %w: %w", e.path, kind, err)
	}
	if lite.Code(err) != 0 {
		return fmt.Errorf("sqlite %s: %w", e.path, err)
	}
	return err
}

func kindOf(err error) error {
	switch lite.Code(err) {
	case lite.Corrupt, lite.NotADB:
		return ErrDamaged
	case lite.Full:
		return ErrFull
	case lite.ReadOnly:
		return ErrReadOnly
	case lite.Busy, lite.Locked:
		return ErrBusy
	}
	return nil
}

// fatal reports that the engine cannot go on after err.
func fatal(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewer) || errors.Is(err, ErrGone) || errors.Is(err, engine.ErrClosed)
}
