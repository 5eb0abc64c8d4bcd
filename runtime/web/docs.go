package web

import "net/http"

// docsPage lists the operations of the API.
type docsRow struct {
	Method, Path, Summary string
	Action                Action
	Post                  bool
}

func (q *request) docsPage() (*view, error) {
	if err := q.decode(&none{}); err != nil {
		return nil, err
	}
	var rows []docsRow
	for _, op := range q.h.api {
		rows = append(rows, docsRow{op.method, op.path[1:], op.summary, op.action, op.method == http.MethodPost})
	}
	return &view{Title: "API", Nav: "docs", Template: "docs", Data: rows}, nil
}
