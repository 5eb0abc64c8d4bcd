package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go
)

// schemaVersion is in the file's user_version, to recognize the index of
// another version of this program.
const schemaVersion = 1

// schema: files lists the indexed files, and text holds the content by the
// file's id. A word is a run of letters, digits and underscores.
const schema = `
CREATE TABLE files (
	id    INTEGER PRIMARY KEY,
	path  TEXT NOT NULL UNIQUE,
	size  INTEGER NOT NULL,
	mtime INTEGER NOT NULL, -- ns since 1970
	hash  TEXT NOT NULL,    -- SHA-256 of the content
	words INTEGER NOT NULL
);
CREATE VIRTUAL TABLE text USING fts5(content, tokenize = "unicode61 remove_diacritics 0 tokenchars '_'");
PRAGMA user_version = 1;`

// openIndex opens the index, and makes it if it is not there. Each worker opens
// its own, with one connection. Several of them write to the one file: the log
// (WAL) lets them read meanwhile, a transaction takes the write lock when it
// begins and so never has to give up half-way, and each waits its turn for up
// to the busy timeout.
func openIndex(ctx context.Context, file string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(60000)", "journal_mode(WAL)", "synchronous(NORMAL)"},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", file, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("open index %s: %w", file, err), db.Close())
	}
	return db, nil
}

// migrate makes the tables of an empty file.
func migrate(ctx context.Context, db *sql.DB) error {
	version, err := userVersion(ctx, db)
	if err != nil || version == schemaVersion {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	version, err = userVersion(ctx, tx) // another worker may have been faster
	switch {
	case err != nil || version == schemaVersion:
		return err
	case version != 0:
		return fmt.Errorf("it is of version %d, this program makes version %d: delete it or use another -db",
			version, schemaVersion)
	}
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	return tx.Commit()
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func userVersion(ctx context.Context, q querier) (int, error) {
	var v int
	err := q.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&v)
	return v, err
}

// isFresh reports whether the index has the file as it is now.
func isFresh(ctx context.Context, tx *sql.Tx, path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, nil //nolint:nilerr // reading it says why
	}
	var had version
	err = tx.QueryRowContext(ctx, `SELECT size, mtime FROM files WHERE path = ?`, path).Scan(&had.size, &had.mtime)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return had == versionOf(info), err
}

// putDocument replaces the document of the path. It reports whether the index
// had the same content.
func putDocument(ctx context.Context, tx *sql.Tx, path string, d *document) (same bool, err error) {
	var id int64
	var hash string
	err = tx.QueryRowContext(ctx, `SELECT id, hash FROM files WHERE path = ?`, path).Scan(&id, &hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	same = hash == d.hash
	err = tx.QueryRowContext(ctx, `
		INSERT INTO files (path, size, mtime, hash, words) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime = excluded.mtime,
			hash = excluded.hash, words = excluded.words
		RETURNING id`, path, d.size, d.mtime, d.hash, d.words).Scan(&id)
	if err != nil || same {
		return same, err
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO text (rowid, content) VALUES (?, ?)`, id, d.text)
	return false, err
}

// dropDocument takes a path out of the index.
func dropDocument(ctx context.Context, tx *sql.Tx, path string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM text WHERE rowid = (SELECT id FROM files WHERE path = ?)`, path)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM files WHERE path = ?`, path)
	return err
}

// version identifies the content of a file.
type version struct{ size, mtime int64 }

func versionOf(info fs.FileInfo) version {
	return version{info.Size(), info.ModTime().UnixNano()}
}

// indexed returns the indexed files below the folder.
func indexed(ctx context.Context, db *sql.DB, dir string) (map[string]version, error) {
	prefix := dir
	if !os.IsPathSeparator(prefix[len(prefix)-1]) {
		prefix += string(os.PathSeparator)
	}
	rows, err := db.QueryContext(ctx,
		`SELECT path, size, mtime FROM files WHERE substr(path, 1, length(?1)) = ?1`, prefix)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	have := make(map[string]version)
	for rows.Next() {
		var path string
		var v version
		if err := rows.Scan(&path, &v.size, &v.mtime); err != nil {
			return nil, err
		}
		have[path] = v
	}
	return have, rows.Err()
}

// document marks of matches in the text that a search returns: characters that
// text files do not have.
const (
	markOn  = "\x02\x1f"
	markOff = "\x1f\x03"
)

// matches ranges over the files that have the word, in the order of their
// paths, each with its text in which the word is marked.
func matches(ctx context.Context, db *sql.DB, word string) iter.Seq2[match, error] {
	return func(yield func(match, error) bool) {
		rows, err := db.QueryContext(ctx, `
			SELECT files.path, highlight(text, 0, ?, ?) FROM text JOIN files ON files.id = text.rowid
			WHERE text MATCH ? ORDER BY files.path`, markOn, markOff, quote(word))
		if err != nil {
			yield(match{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var m match
			if err := rows.Scan(&m.path, &m.marked); err != nil {
				yield(match{}, err)
				return
			}
			if !yield(m, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(match{}, err)
		}
	}
}

type match struct{ path, marked string }
