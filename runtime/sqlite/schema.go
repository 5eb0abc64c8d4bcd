package sqlite

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// applicationID marks our files: "tctx".
const applicationID = 0x74637478

// migrations holds schema/NNN.sql: the way from version NNN-1 to NNN. A
// released file is never changed; a new version is a new file.
//
//go:embed schema/*.sql
var migrations embed.FS

// schemaVersion is the version that this package writes. The file's table
// taskctx_schema lists the versions it was migrated through, and for each the
// oldest version of programs that can still work with it. The largest of those
// is also SQLite's user_version. So a program goes on with a file to which a
// newer one has only added.
const schemaVersion = 9

// besidePrefix begins the names of our tables, indexes and views in a file of
// the app's own tables. In a file that is ours alone they have no prefix. In
// the text of statements "@" stands for it.
const besidePrefix = "taskctx_"

// pageSize is small, since a commit writes whole pages: with 2048 bytes instead
// of 4096, single inserts are a third faster and batches a quarter.
const pageSize = 2048

// inspect returns the schema's version, 0 for a file without our tables, and
// sets c.Prefix. The error says why the file does not suit a program that knows
// versions up to newest. It reads in a transaction, at one moment: another process
// may be making the schema. With beside the file may be another program's.
func inspect(c *lite.Conn, newest int, beside bool) (version int, err error) {
	err = transact(c, "BEGIN", func() error {
		version, err = inspectWithin(c, newest, beside)
		return err
	})
	return version, err
}

// inspectWithin is inspect in a transaction of the caller's.
func inspectWithin(c *lite.Conn, newest int, beside bool) (int, error) {
	if there, err := c.Int("SELECT count(*) FROM sqlite_schema WHERE name = '" + besidePrefix + "tasks'"); err != nil {
		return 0, err
	} else if there > 0 {
		c.Prefix = besidePrefix
		return inspectBeside(c, newest)
	}
	c.Prefix = ""
	version, err := c.Int("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	app, err := c.Int("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	tables, err := c.Int("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return 0, err
	}
	switch {
	case beside && app != applicationID:
		c.Prefix = besidePrefix
		return 0, nil
	case app == 0 && version == 0 && tables == 0:
		return 0, nil
	case app != applicationID:
		return 0, ErrForeign
	case version > int64(newest):
		return 0, fmt.Errorf("%w: it can be read from version %d on, this one knows %d", ErrNewer, version, newest)
	case version < 1 || tables == 0:
		return 0, fmt.Errorf("%w: schema version %d with %d tables", ErrDamaged, version, tables)
	}
	if told, err := c.Int("SELECT count(*) FROM sqlite_schema WHERE name = 'taskctx_schema'"); err != nil || told == 0 {
		return int(version), err
	}
	last, err := c.Int("SELECT max(version) FROM taskctx_schema")
	return max(int(version), int(last)), err
}

// inspectBeside is inspectWithin for a file in which our tables stand beside those
// of the app, whose the file's own marks are.
func inspectBeside(c *lite.Conn, newest int) (int, error) {
	from, err := c.Int("SELECT max(readable_from) FROM taskctx_schema")
	if err != nil {
		return 0, err
	}
	if from > int64(newest) {
		return 0, fmt.Errorf("%w: it can be read from version %d on, this one knows %d", ErrNewer, from, newest)
	}
	last, err := c.Int("SELECT max(version) FROM taskctx_schema")
	return int(last), err
}

// migrate brings the file's schema to the newest version, in one transaction.
// Another process may do the same at the same time.
func migrate(c *lite.Conn, steps fs.FS, newest int, beside bool) error {
	if version, err := inspect(c, newest, beside); err != nil || version >= newest {
		return err
	}
	return transact(c, "BEGIN IMMEDIATE", func() error { return migrateLocked(c, steps, newest, beside) })
}

// transact calls do in a transaction of its own.
func transact(c *lite.Conn, begin string, do func() error) error {
	if err := c.Exec(begin); err != nil {
		return err
	}
	err := do()
	if err == nil {
		err = c.Exec("COMMIT")
	}
	if err != nil && c.InTransaction() {
		_ = c.Exec("ROLLBACK")
	}
	return err
}

func migrateLocked(c *lite.Conn, steps fs.FS, newest int, beside bool) error {
	version, err := inspectWithin(c, newest, beside)
	if err != nil || version >= newest {
		return err
	}
	if err := c.Exec("CREATE TABLE IF NOT EXISTS taskctx_schema(version INTEGER PRIMARY KEY, readable_from INTEGER NOT NULL)"); err != nil {
		return err
	}
	for v := version + 1; v <= newest; v++ {
		text, err := fs.ReadFile(steps, fmt.Sprintf("schema/%03d.sql", v))
		if err != nil {
			return err
		}
		if err := c.Exec(string(text)); err != nil {
			return fmt.Errorf("migrate the schema to version %d: %w", v, err)
		}
		// A step that names no version is only for programs that know it.
		if err := c.Exec(fmt.Sprintf("INSERT OR IGNORE INTO taskctx_schema(version, readable_from) VALUES (%d, %d)", v, v)); err != nil {
			return err
		}
	}
	if c.Prefix != "" {
		return nil
	}
	from, err := c.Int("SELECT max(readable_from) FROM taskctx_schema")
	if err != nil {
		return err
	}
	return c.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, from))
}
