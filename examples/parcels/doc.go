// Package parcels is a service in two programs: web enqueues, and links none of the
// code of worker, which runs the tasks of the packages depot and van. Those enqueue
// each other's, and neither imports the other.
package parcels
