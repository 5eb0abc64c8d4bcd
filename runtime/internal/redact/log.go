package redact

import "log/slog"

// Record removes secrets from a log record.
func (d *Redactor) Record(rec slog.Record) slog.Record {
	if d == nil {
		return rec
	}
	clean := slog.NewRecord(rec.Time, rec.Level, d.Clean(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(d.Attr(a))
		return true
	})
	return clean
}

// Attrs returns the attributes without secrets.
func (d *Redactor) Attrs(attrs []slog.Attr) []slog.Attr {
	if d == nil {
		return attrs
	}
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = d.Attr(a)
	}
	return clean
}

// Attr returns the attribute without secrets.
func (d *Redactor) Attr(a slog.Attr) slog.Attr {
	key, v := d.Clean(a.Key), a.Value.Resolve()
	var texts []string
	switch v.Kind() {
	case slog.KindGroup:
		return slog.Attr{Key: key, Value: slog.GroupValue(d.Attrs(v.Group())...)}
	case slog.KindAny:
		texts = forms(v.Any())
	default:
		texts = []string{v.String()}
	}
	for _, text := range texts {
		if clean := d.Clean(text); clean != text {
			return slog.String(key, clean)
		}
	}
	return slog.Attr{Key: key, Value: v}
}
