package hook

import "encoding/json"

// Codec transforms the stored parts of a task, for example to encrypt them:
// the encoded arguments, and the parts of Config.Sealed. Each method must
// return valid JSON, and is called concurrently. The package seal has one that
// encrypts.
type Codec interface {
	// Encode returns the JSON to store in place of plain.
	Encode(b Binding, plain json.RawMessage) (json.RawMessage, error)
	// Decode undoes Encode. An error parks the task: another worker may have
	// the key.
	Decode(b Binding, stored json.RawMessage) (json.RawMessage, error)
}

// Binding says which part of which task a codec encodes or decodes. A codec
// that authenticates it refuses text that was stored for another task, message
// or part.
type Binding struct {
	// Task is the task's name on the wire.
	Task string
	// Message is random, unique to the enqueued task, and stays with it. It is
	// empty for a task that was enqueued without a codec, or by a version
	// without bindings.
	Message string
	Part    Part
}

// Part is a part of a task that a Codec encodes.
type Part string

// The parts of a task. Arguments always go through the Codec, the others if
// Config.Sealed names them.
const (
	PartArgs   Part = "args"
	PartResult Part = "result"
	// PartReason is why a task failed, was cancelled or is retried, with the
	// errors of its attempts. Reasons given by operators stay clear, and so do
	// those for which a worker could not run the task.
	PartReason Part = "reason"
	// PartLogs are the kept log lines and the progress.
	PartLogs Part = "logs"
	// PartTags are the values of tags, not their keys. An [engine.Query] does
	// not find a sealed value.
	PartTags Part = "tags"
)

// The parts of a durable task's journal. They always go through the Codec, as
// arguments do.
const (
	// PartStep is the result of a step, with the step's name.
	PartStep Part = "step"
	// PartSignal is the value of a signal. Binding.Task is the name of the
	// signal, and Binding.Message the task's id: its sender knows no more.
	PartSignal Part = "signal"
)

// KeyHasher is implemented by codecs that hash keys: those of unique calls, of
// [runtime.WithKey] and the like. So readers of the store cannot try out which values
// are in them. Keys of equal bytes need equal hashes in every process at every
// time: the hash's secret must not rotate.
type KeyHasher interface {
	// HashKey returns a keyed hash, at least 16 bytes.
	HashKey(key []byte) []byte
}
