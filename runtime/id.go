package runtime

import (
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// newID returns a UUID of version 7 (RFC 9562): 48 bits of milliseconds, so
// that ids sort by time, then 12 bits of the time below a millisecond, then 62
// random bits. The caller has read the clock already, which is most of what
// uuid.NewV7 costs. The random bits are of math/rand/v2's global generator,
// which is ChaCha8 seeded by the system: ids are unique, not secret.
func newID(now time.Time) uuid.UUID {
	ns := now.UnixNano()
	ms, below := ns/1e6, ns%1e6
	frac := uint16(below * 4096 / 1e6)
	r := rand.Uint64()
	return uuid.UUID{
		byte(ms >> 40), byte(ms >> 32), byte(ms >> 24), byte(ms >> 16), byte(ms >> 8), byte(ms),
		0x70 | byte(frac>>8), byte(frac),
		0x80 | byte(r>>56)&0x3f, byte(r >> 48), byte(r >> 40), byte(r >> 32),
		byte(r >> 24), byte(r >> 16), byte(r >> 8), byte(r),
	}
}
