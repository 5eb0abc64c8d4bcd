package inspect

import "encoding/json"

// JSON returns raw, or if it is no JSON a string of it: what other programs have
// stored may be anything, and is shown all the same.
func JSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || json.Valid(raw) {
		return raw
	}
	text, err := json.Marshal(string(raw))
	if err != nil {
		return nil
	}
	return text
}
