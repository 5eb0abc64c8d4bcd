package sqlite

import (
	"fmt"
	"maps"

	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// db is the connection that writes, with its statements.
type db struct {
	c        *lite.Conn
	pageSize int64 // of the file, in bytes

	begin, commit, rollback, dataVersion, readable *lite.Stmt
	pageCount, freePages                           *lite.Stmt

	insert, keyHolder, holdKey, dropKey, keysFrom    *lite.Stmt
	dropKeys, keepLonger, firstReady, nextReady      *lite.Stmt
	nextWorker                                       *lite.Stmt
	claim, park, parkedKinds, parkedDue              *lite.Stmt
	succeed, hasSucceeded, finish, release, saveMemo *lite.Stmt
	stopOf, stops, dropStop                          *lite.Stmt
	addStop, find, setState, endWaiting, forget      *lite.Stmt
	promotable, addPurge, duePurges, nextPurge       *lite.Stmt
	purge, dropPurge                                 *lite.Stmt
	addWorker, endWorker, beat, otherWorkers         *lite.Stmt
	running, lost, strays, dropWorkers               *lite.Stmt
	pauses, addPause, dropPause                      *lite.Stmt

	journal journalDB
	places  placeStatements
	rates   rateStatements

	sources map[[2]string]*lite.Stmt // by queue, and name if parked
}

// rowColumns are the columns of a delivery or an entry, in the order in which
// scanRow reads them.
const rowColumns = `seq, state, attempt, lease, priority, due, started_at, ended_at, keep, id, name, queue, args, v, sig,
	retries, enqueued_at, parent, root, extra, memo, keep_failed`

// overKept is the condition for ended tasks whose time to be kept is over at
// the time of the first parameter.
const overKept = `state >= 8 AND ended_at + iif(state = 8 OR keep_failed <= 0, keep, keep_failed) <= ?1`

// statements lists each statement's text. INDEXED BY turns a query that would
// not use its index into an error.
func (d *db) statements() map[**lite.Stmt]string {
	all := d.runStatements()
	maps.Copy(all, d.upkeepStatements())
	return all
}

// runStatements are those of tasks from their insertion to their end.
func (d *db) runStatements() map[**lite.Stmt]string {
	return map[**lite.Stmt]string{
		&d.begin: "BEGIN IMMEDIATE", &d.commit: "COMMIT", &d.rollback: "ROLLBACK",
		&d.dataVersion: "PRAGMA data_version", &d.readable: d.readableFrom(),
		&d.pageCount: "PRAGMA page_count", &d.freePages: "PRAGMA freelist_count",

		&d.insert: `INSERT INTO @tasks(state, priority, due, keep, id, name, queue, args, v, sig, retries, enqueued_at,
			parent, root, extra, keep_failed) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		&d.keyHolder: `SELECT ` + holderColumns + ` WHERE k.key = ?`,
		&d.keysFrom:  `SELECT ` + holderColumns + ` WHERE k.key > ? ORDER BY k.key`,
		&d.holdKey:   `INSERT OR REPLACE INTO @keys(key, task, until, hold) VALUES(?,?,?,?)`,
		&d.dropKey:   `DELETE FROM @keys WHERE key = ? AND task = ?`,
		&d.dropKeys: `DELETE FROM @keys WHERE key IN (SELECT key FROM @keys INDEXED BY @keys_until
			WHERE until <= ? ORDER BY until LIMIT 1000)`,

		// OR FAIL spares the copies of pages that could undo a statement
		// alone: an error undoes the transaction.
		&d.claim: `UPDATE OR FAIL @tasks NOT INDEXED SET state = 4, lease = seq + ?, started_at = ? WHERE seq BETWEEN ? AND ?`,
		&d.park:  `UPDATE @tasks SET state = 5, reason = ? WHERE seq = ?`,
		&d.parkedKinds: `SELECT queue, name FROM @tasks INDEXED BY @parked
			WHERE state = 5 AND (queue, name) >= (?, ?) ORDER BY queue, name LIMIT 1`,
		&d.parkedDue: `SELECT seq, due, keep_failed, priority FROM @tasks INDEXED BY @parked
			WHERE state = 5 AND queue = ? AND name = ? AND priority <= ? ORDER BY priority DESC, due`,
		&d.firstReady: `SELECT priority, due FROM @tasks INDEXED BY @ready WHERE state <= 3 AND queue = ?
			ORDER BY priority DESC, due LIMIT 1`,
		&d.nextReady: `SELECT queue FROM @tasks INDEXED BY @ready WHERE state <= 3 AND queue > ? ORDER BY queue LIMIT 1`,

		&d.succeed: `UPDATE OR FAIL @tasks NOT INDEXED SET state = 8, ended_at = ?, reason = NULL
			WHERE seq BETWEEN ? AND ? AND lease = seq + ? AND state = 4`,
		&d.hasSucceeded: `SELECT 1 FROM @tasks WHERE seq = ? AND lease = ? AND state = 8`,
		&d.finish: `UPDATE @tasks SET state = ?, attempt = attempt + ?, due = coalesce(?, due), ended_at = ?, result = ?,
			reason = ?, memo = coalesce(?, memo), keep_failed = ? WHERE seq = ? AND lease = ? AND state = 4`,
		&d.keepLonger: `UPDATE @tasks SET keep = ? WHERE seq = ?`,
		&d.release: `UPDATE @tasks SET state = ?, memo = coalesce(?, memo)
			WHERE seq = ? AND lease = ? AND state = 4`,
		&d.saveMemo: `UPDATE @tasks SET memo = ? WHERE seq = ? AND lease = ? AND state = 4`,
		&d.stopOf:   `SELECT reason FROM @stops WHERE seq = ?`,
		&d.stops: `SELECT s.seq, s.reason, coalesce(t.state, 0), coalesce(t.lease, 0)
			FROM @stops s LEFT JOIN @tasks t ON t.seq = s.seq`,
		&d.dropStop: `DELETE FROM @stops WHERE seq = ?`,
		&d.addStop:  `INSERT OR IGNORE INTO @stops(seq, reason) VALUES(?,?)`,
	}
}

// upkeepStatements are those of operators, of what is due and of workers.
func (d *db) upkeepStatements() map[**lite.Stmt]string {
	return map[**lite.Stmt]string{
		&d.find: `SELECT ` + rowColumns + `, result, reason FROM @tasks WHERE id = ?`,
		&d.setState: `UPDATE @tasks SET state = ?, due = ?, ended_at = 4611686018427387904
			WHERE seq = ?`,
		&d.endWaiting: `UPDATE @tasks SET state = ?, ended_at = ?, reason = ?, keep_failed = ? WHERE seq = ?`,
		&d.forget:     `DELETE FROM @tasks WHERE seq = ?`,

		&d.promotable: `SELECT seq, state, due, queue FROM @tasks INDEXED BY @later WHERE state IN (6, 7) ORDER BY due`,
		&d.addPurge:   `INSERT OR REPLACE INTO @purges(at, n, tasks) VALUES(?,?,?)`,
		&d.duePurges:  `SELECT at, n, tasks FROM @purges WHERE at <= ? ORDER BY at, n`,
		&d.nextPurge:  `SELECT at FROM @purges ORDER BY at`,
		&d.purge:      `DELETE FROM @tasks WHERE seq = ?2 AND ` + overKept,
		&d.dropPurge:  `DELETE FROM @purges WHERE at = ? AND n = ?`,

		&d.addWorker: `INSERT INTO @workers(name, host, pid, names, lease, beat, started_at, id, slots, queues, seen_at)
			VALUES(?1,?2,?3,?4,?5,0,?6,?7,?8,?9,?6)`,
		&d.nextWorker: `SELECT seq FROM sqlite_sequence WHERE name = '@workers'`,
		&d.endWorker:  `UPDATE @workers SET ended_at = ? WHERE id = ? AND ended_at = 4611686018427387904`,
		&d.beat:       `UPDATE @workers SET beat = beat + 1, seen_at = ?2 WHERE id = ?1 AND ended_at = 4611686018427387904`,
		&d.otherWorkers: `SELECT id, beat, lease, name, names FROM @workers INDEXED BY @workers_live
			WHERE ended_at = 4611686018427387904`,
		&d.running: `SELECT seq, lease, attempt, keep_failed, id FROM @tasks INDEXED BY @running
			WHERE state = 4 AND lease >= ? AND lease < ?`,
		&d.lost: `UPDATE @tasks SET state = ?, attempt = attempt + ?, ended_at = ?, reason = ?, keep_failed = ? WHERE seq = ?`,
		&d.strays: `SELECT DISTINCT lease >> 36 FROM @tasks INDEXED BY @running WHERE state = 4 AND lease >> 36 NOT IN
			(SELECT id FROM @workers WHERE ended_at = 4611686018427387904)`,
		&d.dropWorkers: `DELETE FROM @workers WHERE ended_at < ?`,

		&d.pauses:    `SELECT queue, name, since FROM @pauses`,
		&d.addPause:  `INSERT OR IGNORE INTO @pauses(queue, name, since) VALUES(?,?,?)`,
		&d.dropPause: `DELETE FROM @pauses WHERE queue = ? AND name = ?`,
	}
}

// readableFrom is the query for the version from which on a program can work with
// the file.
func (d *db) readableFrom() string {
	if d.c.Prefix != "" {
		return "SELECT max(readable_from) FROM taskctx_schema"
	}
	return "PRAGMA user_version"
}

// openDB opens the connection that writes, and brings the schema forward.
func openDB(path string, cfg *config) (_ *db, err error) {
	d := &db{sources: make(map[[2]string]*lite.Stmt)}
	if d.c, err = lite.Open(path, false); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.c.Close()
		}
	}()
	d.c.BusyTimeout(int(cfg.busy.Milliseconds()))
	level := "NORMAL"
	if cfg.sync == SyncFull {
		level = "FULL"
	}
	// The page size only takes effect for a new file.
	if err := d.c.Exec(fmt.Sprintf("PRAGMA page_size = %d; PRAGMA journal_mode = WAL; PRAGMA synchronous = %s; "+
		"PRAGMA cache_size = -4000; PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = %d",
		pageSize, level, maxLog)); err != nil {
		return nil, err
	}
	if mode, err := d.c.Text("PRAGMA journal_mode"); err != nil || mode != "wal" {
		return nil, fmt.Errorf("no write-ahead log on this file system (journal mode %q): %w", mode, err)
	}
	if err := migrate(d.c, migrations, schemaVersion, cfg.beside); err != nil {
		return nil, err
	}
	if d.pageSize, err = d.c.Int("PRAGMA page_size"); err != nil {
		return nil, err
	}
	for _, group := range []map[**lite.Stmt]string{d.statements(), d.journalStatements(), d.places.texts(), d.rates.texts()} {
		for s, text := range group {
			if *s, err = d.c.Prepare(text); err != nil {
				return nil, err
			}
		}
	}
	d.c.WatchWAL()
	d.c.BusyTimeout(0) // from here on the writer waits by itself
	return d, nil
}

// source returns the statement that lists the due tasks of a queue in order,
// or the parked ones of a name. Its parameters are bound for good: to bind them
// again would make SQLite compile it again.
func (d *db) source(queue, name string) (*lite.Stmt, error) {
	if s := d.sources[[2]string{queue, name}]; s != nil {
		return s, nil
	}
	text := `SELECT ` + rowColumns + ` FROM @tasks INDEXED BY @ready WHERE state <= 3 AND queue = ?
		ORDER BY priority DESC, due, seq`
	if name != "" {
		text = `SELECT ` + rowColumns + ` FROM @tasks INDEXED BY @parked WHERE state = 5 AND queue = ? AND name = ?
		ORDER BY priority DESC, due, seq`
	}
	s, err := d.c.Prepare(text)
	if err != nil {
		return nil, err
	}
	s.Keep()
	s.BindText(1, queue)
	if name != "" {
		s.BindText(2, name)
	}
	d.sources[[2]string{queue, name}] = s
	return s, nil
}

// trimSources closes the statements of sources when they are very many.
func (d *db) trimSources() {
	if len(d.sources) <= maxPrepared {
		return
	}
	for kind, s := range d.sources {
		s.Close()
		delete(d.sources, kind)
	}
}

// one runs a query for its first row's first value, and whether there is one.
func one(s *lite.Stmt) (v int64, ok bool, err error) {
	ok, err = s.Step()
	if ok {
		v = s.Int(0)
	}
	s.Reset()
	return v, ok, err
}
