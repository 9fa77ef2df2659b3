;;;; Uses ouzel-liburing from Common Lisp, with nothing but SBCL's foreign functions.
;;;;
;;;;     sbcl --script ring.lisp path-of-liburing-ffi.so.2
;;;;
;;;; A no-op, a read, a timeout, and the turns of an event loop on a pipe. The FFI library is the one to load: it has
;;;; the functions that C programs get from the header.

(require :sb-posix)

(defpackage :ring (:use :common-lisp :sb-alien))
(in-package :ring)

(load-shared-object (or (second sb-ext:*posix-argv*) "liburing-ffi.so.2"))

(defconstant +etime+ 62)
(defconstant +ecanceled+ 125)
(defconstant +pollin+ 1)
(defconstant +more+ 2 "The completion flag that says that more completions of the entry will follow.")

(define-alien-type nil (struct completion (user-data unsigned-long) (result int) (flags unsigned-int)))
(define-alien-type nil (struct timespec (seconds long) (nanoseconds long)))
;; struct io_uring: nobody but the library looks inside.
(define-alien-type nil (struct ring (words (array unsigned-long 27))))

(define-alien-routine ("io_uring_major_version" major-version) int)
(define-alien-routine ("io_uring_minor_version" minor-version) int)
(define-alien-routine ("io_uring_queue_init" queue-init) int (entries unsigned-int) (ring (* (struct ring))) (flags unsigned-int))
(define-alien-routine ("io_uring_queue_exit" queue-exit) void (ring (* (struct ring))))
(define-alien-routine ("io_uring_get_sqe" get-entry) system-area-pointer (ring (* (struct ring))))
(define-alien-routine ("io_uring_sqe_set_data64" set-data) void (entry system-area-pointer) (data unsigned-long))
(define-alien-routine ("io_uring_submit" submit) int (ring (* (struct ring))))
(define-alien-routine ("io_uring_wait_cqe_timeout" wait-completion) int
  (ring (* (struct ring))) (completion (* (* (struct completion)))) (limit (* (struct timespec))))
(define-alien-routine ("io_uring_cqe_seen" seen) void (ring (* (struct ring))) (completion (* (struct completion))))
(define-alien-routine ("io_uring_prep_nop" prepare-nop) void (entry system-area-pointer))
(define-alien-routine ("io_uring_prep_read" prepare-read) void
  (entry system-area-pointer) (fd int) (buffer system-area-pointer) (length unsigned-int) (offset unsigned-long))
(define-alien-routine ("io_uring_prep_timeout" prepare-timeout) void
  (entry system-area-pointer) (time (* (struct timespec))) (count unsigned-int) (flags unsigned-int))
(define-alien-routine ("io_uring_prep_poll_multishot" prepare-poll) void (entry system-area-pointer) (fd int) (mask unsigned-int))
(define-alien-routine ("io_uring_prep_cancel64" prepare-cancel) void (entry system-area-pointer) (data unsigned-long) (flags int))

(defvar *ring* (make-alien (struct ring)))

(defun checked (outcome what)
  "The outcome of a function, unless it is a negated errno."
  (if (minusp outcome) (error "~a: errno ~d" what (- outcome)) outcome))

(defun make-time (seconds nanoseconds)
  (let ((time (make-alien (struct timespec))))
    (setf (slot time 'seconds) seconds (slot time 'nanoseconds) nanoseconds)
    time))

(defun start (user-data prepare &rest arguments)
  "Prepares an entry and submits it."
  (let ((entry (get-entry *ring*)))
    (assert (not (zerop (sb-sys:sap-int entry))) () "the queue is full")
    (apply prepare entry arguments)
    (set-data entry user-data)
    (assert (= 1 (checked (submit *ring*) "submit")))))

(defun finish ()
  "Waits for a completion, five seconds at most. Returns its user data, result and flags."
  (let ((limit (make-time 5 0)))
    (unwind-protect
         (with-alien ((found (* (struct completion))))
           (checked (wait-completion *ring* (addr found) limit) "wait")
           (multiple-value-prog1 (values (slot found 'user-data) (slot found 'result) (slot found 'flags))
             (seen *ring* found)))
      (free-alien limit))))

(defun no-op ()
  (start 7 #'prepare-nop)
  (assert (equal '(7 0 0) (multiple-value-list (finish)))))

(defun text (buffer count)
  (map 'string #'code-char (loop for i below count collect (sb-sys:sap-ref-8 buffer i))))

(defun read-a-file ()
  (multiple-value-bind (fd path) (sb-posix:mkstemp "/tmp/ring-lisp-XXXXXX")
    (sb-posix:unlink path)
    (let ((memory (make-alien (unsigned 8) 64))
          (words (map '(vector (unsigned-byte 8)) #'char-code "read through a ring")))
      (sb-sys:with-pinned-objects (words)
        (sb-posix:write fd (sb-sys:vector-sap words) (length words)))
      (let ((buffer (alien-sap memory)))
        (start 8 #'prepare-read fd buffer 64 5)
        (multiple-value-bind (user-data count) (finish)
          (assert (= user-data 8))
          (assert (string= "through a ring" (text buffer count)))))
      (free-alien memory))
    (sb-posix:close fd)))

(defun a-timeout ()
  (let ((time (make-time 0 30000000)) (began (get-internal-real-time)))
    (start 9 #'prepare-timeout time 0 0)
    (multiple-value-bind (user-data result) (finish)
      (assert (and (= user-data 9) (= result (- +etime+)))))
    ;; Lisp's clock is a coarse one.
    (assert (>= (/ (- (get-internal-real-time) began) internal-time-units-per-second) 2/100))
    (free-alien time)))

(defun event-loop ()
  "Turns of an event loop: one poll that stays, and a handler that is called for each message."
  (multiple-value-bind (reader writer) (sb-posix:pipe)
    (let* ((memory (make-alien (unsigned 8) 100)) (buffer (alien-sap memory)) (received '())
           (handlers (list (cons 10 (lambda () (push (text buffer (sb-posix:read reader buffer 100)) received))))))
      (start 10 #'prepare-poll reader +pollin+)
      (dolist (message '("one" "two"))
        (let ((words (map '(vector (unsigned-byte 8)) #'char-code message)))
          (sb-sys:with-pinned-objects (words)
            (sb-posix:write writer (sb-sys:vector-sap words) (length words))))
        (multiple-value-bind (user-data result flags) (finish)
          (assert (and (logtest +pollin+ result) (logtest +more+ flags)))
          (funcall (cdr (assoc user-data handlers)))))
      (assert (equal received '("two" "one")))
      (start 11 #'prepare-cancel 10 0)
      (let ((ends (loop repeat 2 collect (subseq (multiple-value-list (finish)) 0 2))))
        (assert (equal (sort ends #'< :key #'first) `((10 ,(- +ecanceled+)) (11 0)))))
      (free-alien memory)
      (sb-posix:close reader)
      (sb-posix:close writer))))

(assert (and (= 2 (major-version)) (= 15 (minor-version))))
(let ((outcome (queue-init 8 *ring* 0)))
  (when (member outcome '(-1 -13 -38))
    (format t "SKIPPED: io_uring is refused here: errno ~d~%" (- outcome))
    (sb-ext:exit :code 0))
  (checked outcome "queue-init"))
(dolist (turn '(no-op read-a-file a-timeout event-loop))
  (funcall turn)
  (format t "~(~a~): well~%" turn))
(queue-exit *ring*)
