package postgres

import (
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"
)

// River numbers its jobs, and a task's id is made of that number, so that it
// needs no place of its own in the row: an id in the arguments or the metadata
// would be an entry of its own in River's GIN indexes, which halves the speed
// of batches. The id is a UUID of version 8 (RFC 9562): 60 bits of the
// schema's mark, so that ids of two databases differ, then 62 bits of the
// job's number. Ids of one schema sort in the order of insertion.

const (
	versionByte, versionBits = 6, 0x80 // version 8
	variantByte, variantBits = 8, 0x80
	maxJob                   = 1<<62 - 1
)

// taskID returns the id of the job.
func (e *Engine) taskID(job int64) uuid.UUID {
	var id uuid.UUID
	copy(id[:8], e.mark[:])
	binary.BigEndian.PutUint64(id[8:], uint64(job)&maxJob)
	id[versionByte] = versionBits | e.mark[versionByte]&0x0f
	id[variantByte] |= variantBits
	return id
}

// jobOf returns the job of the id, false when the id is not of this schema.
func (e *Engine) jobOf(id uuid.UUID) (int64, bool) {
	job := int64(binary.BigEndian.Uint64(id[8:]) & maxJob)
	return job, job > 0 && e.taskID(job) == id
}

// markBytes reads the mark from its column.
type markBytes [8]byte

// ScanBytes implements pgtype.BytesScanner.
func (m *markBytes) ScanBytes(b []byte) error {
	if len(b) != len(m) {
		return fmt.Errorf("the schema's mark has %d bytes, want %d", len(b), len(m))
	}
	copy(m[:], b)
	return nil
}
