package runtime

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/redact"
)

// sealable are the parts for Config.Sealed.
var sealable = []hook.Part{hook.PartResult, hook.PartReason, hook.PartLogs, hook.PartTags}

// bindingHeader is the key of Meta.Headers that carries Binding.Message.
const bindingHeader = "taskctx-binding"

// sealedMark begins texts that the Codec has encoded, and is the key of results.
const sealedMark = "taskctx-sealed"

// unreadable stands in place of text that cannot be decoded here.
const unreadable = "[sealed]"

func bindingOf(m *engine.Message, p hook.Part) hook.Binding {
	return hook.Binding{Task: m.Name, Message: m.Meta.Headers[bindingHeader], Part: p}
}

// bind gives the message a binding for the codec.
func bind(m *engine.Message) {
	headers := make(map[string]string, len(m.Meta.Headers)+1)
	maps.Copy(headers, m.Meta.Headers)
	headers[bindingHeader] = rand.Text()
	m.Meta.Headers = headers
}

// seals reports whether a part goes through the codec.
func (a *App) seals(p hook.Part) bool { return a.cfg.Codec != nil && slices.Contains(a.cfg.Sealed, p) }

// encodeMessage applies the codec and the limit on size.
func (a *App) encodeMessage(m *engine.Message) error {
	if a.cfg.Codec == nil {
		return a.checkSize(m.Args)
	}
	bind(m)
	plain := m.Args
	args, err := a.encodePart(m, hook.PartArgs, plain)
	if err == nil && a.seals(hook.PartTags) && len(m.Meta.Tags) > 0 {
		err = a.sealTags(m)
	}
	if err != nil {
		d := new(redact.Redactor)
		if len(m.Meta.Redact) > 0 {
			d = redact.New(plain, m.Meta.Signature, m.Meta.Redact)
		}
		return &guard.Hidden{Text: d.Clean(guard.Text(err)), Err: err}
	}
	m.Args = args
	return a.checkSize(m.Args)
}

// encodePart calls the codec.
func (a *App) encodePart(m *engine.Message, p hook.Part, plain json.RawMessage) (stored json.RawMessage, err error) {
	err = guard.Call(func() (err error) {
		stored, err = a.cfg.Codec.Encode(bindingOf(m, p), bytes.Clone(plain)) // the caller keeps its own
		return err
	})
	if err == nil && !json.Valid(stored) {
		err = errors.New("Encode did not return valid JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	return stored, nil
}

// decodePart undoes encodePart. The codec may panic.
func (a *App) decodePart(m *engine.Message, p hook.Part, stored json.RawMessage) (json.RawMessage, error) {
	if a.cfg.Codec == nil {
		return nil, errors.New("there is no Config.Codec to decode it")
	}
	return a.cfg.Codec.Decode(bindingOf(m, p), bytes.Clone(stored))
}

// decodeArgs returns the arguments as they were before the codec.
func (a *App) decodeArgs(m *engine.Message) (json.RawMessage, error) {
	if a.cfg.Codec == nil {
		return m.Args, nil
	}
	return a.decodePart(m, hook.PartArgs, m.Args) // a panic is the task's
}

// HasCodec reports whether the app encodes the arguments of its tasks.
func (a *App) HasCodec() bool { return a.cfg.Codec != nil }

// DecodedArgs returns the arguments of a task as they were before the app's codec
// encoded them, without redacted values.
func (a *App) DecodedArgs(ctx context.Context, id uuid.UUID) (json.RawMessage, error) {
	e, err := a.engine.Get(ctx, id)
	if err != nil {
		return nil, aboutTask("look up", id, err)
	}
	args, err := a.decodeArgs(e.Message)
	if err != nil {
		return nil, aboutTask("decode the arguments of", id, err)
	}
	var more []string
	if s := a.registered(e.Message.Name); s != nil {
		more = s.Redact
	}
	m := *e.Message
	m.Args = args
	return redactedArgs(&m, more), nil
}

// sealText returns the text as the codec encodes it, cut until that fits into
// limit bytes.
func (a *App) sealText(m *engine.Message, p hook.Part, text string, limit int) (string, error) {
	for {
		plain, err := json.Marshal(text)
		if err != nil {
			return "", err
		}
		stored, err := a.encodePart(m, p, plain)
		if err != nil {
			return "", err
		}
		if n := len(sealedMark) + 1 + len(stored); limit <= 0 || n <= limit || text == "" {
			return sealedMark + ":" + string(stored), nil
		}
		text = redact.Cut(text, len(text)*3/4)
	}
}

// openText undoes sealText. It returns unsealed text as it is.
func (a *App) openText(m *engine.Message, p hook.Part, text string) string {
	stored, ok := strings.CutPrefix(text, sealedMark+":")
	if !ok {
		return text
	}
	var plain string
	err := guard.Isolated(func() error {
		raw, err := a.decodePart(m, p, json.RawMessage(stored))
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, &plain)
	})
	if err != nil {
		return unreadable
	}
	return plain
}

func (a *App) sealTags(m *engine.Message) error {
	tags := make(map[string]string, len(m.Meta.Tags))
	for k, v := range m.Meta.Tags {
		sealed, err := a.sealText(m, hook.PartTags, v, 0)
		if err != nil {
			return err
		}
		tags[k] = sealed
	}
	m.Meta.Tags = tags
	return nil
}

// tagsOf returns the tags of a message as they were before the codec: its own
// map if none is sealed.
func (a *App) tagsOf(m *engine.Message) map[string]string {
	for _, v := range m.Meta.Tags {
		if !strings.HasPrefix(v, sealedMark) {
			continue
		}
		tags := make(map[string]string, len(m.Meta.Tags))
		for k, v := range m.Meta.Tags {
			tags[k] = a.openText(m, hook.PartTags, v)
		}
		return tags
	}
	return m.Meta.Tags
}

// sealedResult is a result that the codec has encoded.
type sealedResult struct {
	Sealed json.RawMessage `json:"taskctx-sealed"`
}

func (a *App) sealResult(m *engine.Message, raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 || !a.seals(hook.PartResult) {
		return raw, nil
	}
	stored, err := a.encodePart(m, hook.PartResult, raw)
	if err != nil {
		return nil, err
	}
	return json.Marshal(sealedResult{stored})
}

// openResult undoes sealResult, whether this app seals or not.
func (a *App) openResult(m *engine.Message, raw json.RawMessage) (plain json.RawMessage, err error) {
	if !isSealed(raw) {
		return raw, nil
	}
	var sealed sealedResult
	if err := json.Unmarshal(raw, &sealed); err != nil {
		return nil, err
	}
	err = guard.Isolated(func() (err error) {
		plain, err = a.decodePart(m, hook.PartResult, sealed.Sealed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	return plain, nil
}

// isSealed reports whether sealResult made raw, in any formatting by the
// store.
func isSealed(raw json.RawMessage) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(raw), []byte("{"))
	return ok && bytes.HasPrefix(bytes.TrimSpace(rest), []byte(`"`+sealedMark+`"`))
}

// shownResult is openResult for a record.
func (a *App) shownResult(m *engine.Message, raw json.RawMessage) json.RawMessage {
	plain, err := a.openResult(m, raw)
	if err != nil {
		return json.RawMessage(`"` + unreadable + `"`)
	}
	return plain
}

// sealReason seals the reason of an outcome.
func (a *App) sealReason(m *engine.Message, o *engine.Outcome) {
	if o.Reason == "" || !a.seals(hook.PartReason) {
		return
	}
	err := guard.Isolated(func() (err error) {
		o.Reason, err = a.sealText(m, hook.PartReason, o.Reason, engine.MaxReason)
		return err
	})
	if err != nil || len(o.Reason) > engine.MaxReason {
		o.Reason = "the reason could not be sealed"
	}
}

// hashKey replaces the message's key by the codec's hash, unless it is the
// tick of a schedule, which is no secret.
func (a *App) hashKey(m *engine.Message) error {
	hasher, ok := a.cfg.Codec.(hook.KeyHasher)
	if !ok || m.Key == "" || m.KeyHold == engine.HoldTick {
		return nil
	}
	var sum []byte
	if err := guard.Call(func() error { sum = hasher.HashKey([]byte(m.Key)); return nil }); err != nil {
		return fmt.Errorf("codec: %w", err)
	}
	if len(sum) < 16 {
		return errors.New("codec: HashKey returned less than 16 bytes")
	}
	m.Key = hex.EncodeToString(sum)
	return nil
}
