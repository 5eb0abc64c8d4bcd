package postgres

import (
	"encoding/binary"
	"encoding/hex"
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

// markBytes are the mark of a schema, which its tasks' ids have.
type markBytes [8]byte

// decodeMark reads a mark.
func decodeMark(text string) (mark markBytes, err error) {
	b, err := hex.DecodeString(text)
	if err == nil && len(b) != len(mark) {
		err = fmt.Errorf("it has %d bytes, want %d", len(b), len(mark))
	}
	copy(mark[:], b)
	return mark, err
}
