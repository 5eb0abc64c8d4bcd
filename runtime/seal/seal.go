// Package seal encrypts the stored parts of tasks, by AES-GCM of the standard
// library:
//
//	codec, err := seal.New(seal.Config{
//		Keys:   []seal.Key{{ID: "2026-11", Secret: current}, {ID: "2026-05", Secret: old}},
//		MACKey: macKey,
//	})
//	app := runtime.New(engine, runtime.Config{
//		Codec:  codec,
//		Sealed: []hook.Part{hook.PartResult, hook.PartReason, hook.PartLogs},
//	})
//
// The first key seals, each of them opens. To rotate, add the new key to the
// end of the list in every process, then move it to the front. Take the old
// one away once no record is left that it sealed. A task whose key a worker
// lacks is parked. A key seals at most four billion values: rotate before.
//
// A sealed text is bound to the task's name, to the message and to its part:
// the text of one task does not open as that of another. Writers of the store
// can still enqueue a copy of a whole message.
//
// Unique calls and keys, as of [runtime.WithKey], are stored as a MAC under
// MACKey, so that nobody can try out the few possible values of a key. MACKey
// must not rotate: a held key would no longer be found. When a fleet begins to
// use the codec, a unique call may be enqueued twice.
//
// Not encrypted are the task's name, queue, priority, times and ids, the keys
// of tags, the headers of propagators and locals, and all parts that
// runtime.Config.Sealed does not name. So are the sizes of sealed texts, the
// reasons that operators give, and the reasons for which a task is parked.
// docs/encryption.md has a table.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/taskctx/taskctx/runtime/hook"
)

// Key is a key of AES: Secret has 16, 24 or 32 bytes. ID, which is stored with
// each text that the key seals, has no dot.
type Key struct {
	ID     string
	Secret []byte
}

// String is the ID: a key is safe to print in every way.
func (k Key) String() string { return "key " + k.ID }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Config has the keys of a Codec.
type Config struct {
	// Keys open the texts that they sealed; the first one seals.
	Keys []Key
	// MACKey hashes the keys of tasks, at least 32 bytes. It does not rotate.
	MACKey []byte
	// AllowPlain opens text that was never sealed: of tasks from producers
	// without a codec, while a fleet begins to use one. Without it they are
	// parked.
	AllowPlain bool
}

// Codec is a [hook.Codec] that encrypts, and a [hook.KeyHasher]. It may be
// used concurrently.
type Codec struct {
	first      string
	keys       map[string]cipher.AEAD
	mac        []byte
	allowPlain bool
}

// New returns a codec. Its error names a wrong key.
func New(c Config) (*Codec, error) {
	if len(c.Keys) == 0 {
		return nil, errors.New("seal: Config.Keys is empty")
	}
	if len(c.MACKey) < sha256.Size {
		return nil, fmt.Errorf("seal: Config.MACKey has %d bytes: it must have at least %d", len(c.MACKey), sha256.Size)
	}
	codec := &Codec{
		first: c.Keys[0].ID, keys: make(map[string]cipher.AEAD, len(c.Keys)),
		mac: append([]byte(nil), c.MACKey...), allowPlain: c.AllowPlain,
	}
	for i, k := range c.Keys {
		if k.ID == "" || strings.ContainsAny(k.ID, ".\"\\") {
			return nil, fmt.Errorf("seal: Config.Keys[%d].ID is %q: it must be a word without dots", i, k.ID)
		}
		if _, ok := codec.keys[k.ID]; ok {
			return nil, fmt.Errorf("seal: two of Config.Keys have the ID %q", k.ID)
		}
		block, err := aes.NewCipher(k.Secret)
		if err != nil {
			return nil, fmt.Errorf("seal: Config.Keys[%d] (%s): %w", i, k.ID, err)
		}
		if codec.keys[k.ID], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("seal: Config.Keys[%d] (%s): %w", i, k.ID, err)
		}
	}
	return codec, nil
}

// version begins every sealed text: "s1.", the ID of the key, a dot, and in
// base64 the nonce, the ciphertext and the tag.
const version = "s1"

// Encode implements hook.Codec.
func (c *Codec) Encode(b hook.Binding, plain json.RawMessage) (json.RawMessage, error) {
	sealed := c.keys[c.first].Seal(nil, nil, plain, bound(b, c.first))
	return json.Marshal(version + "." + c.first + "." + base64.RawURLEncoding.EncodeToString(sealed))
}

// Decode implements hook.Codec. Its errors show neither keys nor sealed
// text.
func (c *Codec) Decode(b hook.Binding, stored json.RawMessage) (json.RawMessage, error) {
	var text string
	if err := json.Unmarshal(stored, &text); err != nil {
		return c.plain(stored)
	}
	v, rest, _ := strings.Cut(text, ".")
	id, body, ok := strings.Cut(rest, ".")
	if v != version || !ok {
		return c.plain(stored)
	}
	key, ok := c.keys[id]
	if !ok {
		return nil, fmt.Errorf("sealed with the key %.64q, which is not among the keys here", id)
	}
	sealed, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return nil, errors.New("not as it was sealed")
	}
	plain, err := key.Open(nil, nil, sealed, bound(b, id))
	if err != nil {
		return nil, errors.New("not as it was sealed, or for another task")
	}
	return plain, nil
}

func (c *Codec) plain(stored json.RawMessage) (json.RawMessage, error) {
	if !c.allowPlain {
		return nil, errors.New("not sealed (seal.Config.AllowPlain opens what is not)")
	}
	return stored, nil
}

// bound returns the bytes that are authenticated with a ciphertext: each part
// with its length, so that no two bindings have the same bytes.
func bound(b hook.Binding, key string) []byte {
	var out []byte
	for _, s := range []string{version, key, string(b.Part), b.Task, b.Message} {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	return out
}

// HashKey implements hook.KeyHasher, by HMAC-SHA256.
func (c *Codec) HashKey(key []byte) []byte {
	h := hmac.New(sha256.New, c.mac)
	h.Write(key)
	return h.Sum(nil)
}
