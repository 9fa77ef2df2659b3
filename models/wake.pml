/*
 * The wake protocol of rings between processes: two clients, each with a ring of its own, and one server that sleeps for both.
 *
 * Section 5 of docs/abi.md is the text. What is modelled of the queues is how many entries a client has published and how many
 * completions the server has posted; of the memory, that a store may reach it late: each process has a buffer of stores
 * that a process of the machine's empties in order, and a fence waits until it is empty (total store order, the least that
 * any target of Ouzel's promises being weaker; the orders themselves are for loom). Of the kernel:
 *
 * - a doorbell is an eventfd in epoll with edges that nobody reads: a write makes its client ready, a wait takes all that are
 *   ready;
 * - a futex compares the word with what was seen and begins to sleep in one step; a wake finds who sleeps, and is not kept.
 *
 * A lost wake is a state that nothing leaves though a client is not done: an invalid end state. That what is to come does come
 * is the property `served`. -DBROKEN=1 to 7 leaves out one thing that the protocol needs, and then there must be an error:
 *
 *   1  the server does not fence between its word and its last look
 *   2  the server does not look once more
 *   3  a client does not fence between publishing and its look at the server's word
 *   4  a client does not fence between its word and the futex
 *   5  the futex does not compare
 *   6  the server does not fence between posting and its look at the client's word
 *   7  the server falls asleep for one ring only
 *
 * ci/check-wake runs all of them.
 */

#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define CLIENTS 2
#define SERVER 2

/* The words that are shared, of the ring of client c. */
#define STAIL(c) (c)
#define CTAIL(c) (2 + (c))
#define SERVER_ASLEEP(c) (4 + (c))
#define CLIENT_ASLEEP(c) (6 + (c))

byte memory[8];

/* What a process has stored and what is not in memory yet: a word and its value. */
chan stores[3] = [2] of { byte, byte };

/* The kernel's: which doorbells were rung since the server waited, and which clients sleep on their futex. */
bool rung[CLIENTS];
bool sleeping[CLIENTS];

byte over;

#define store(who, word, value) stores[who]!word, value
#define fence(who) empty(stores[who])

/* The machine: brings to memory what a process has stored, sometime. */
proctype Buffer(byte who) {
    byte word, value;
end:
    do
    :: atomic { stores[who]?word, value -> memory[word] = value; word = 0; value = 0 }
    od
}

proctype Client(byte me) {
    byte published, seen;
    byte rounds = ROUNDS;
    do
    :: rounds > 0 ->
        rounds--;
        published++;
        store(me, STAIL(me), published);
#if BROKEN != 3
        fence(me);
#endif
        if
        :: memory[SERVER_ASLEEP(me)] -> rung[me] = true
        :: else
        fi;
        /* It may have more than one on the way. */
        if
        :: rounds > 0 -> skip
        :: true ->
            do
            :: atomic { memory[CTAIL(me)] != seen -> seen = memory[CTAIL(me)] };
                if
                :: seen == published -> break
                :: else
                fi
            :: memory[CTAIL(me)] == seen ->
                store(me, CLIENT_ASLEEP(me), 1);
#if BROKEN != 4
                fence(me);
#endif
                /* futex(2): the comparison is the last look. */
#if BROKEN == 5
                sleeping[me] = true;
#else
                atomic {
                    if
                    :: memory[CTAIL(me)] == seen -> sleeping[me] = true
                    :: else
                    fi
                };
#endif
                !sleeping[me];
                store(me, CLIENT_ASLEEP(me), 0)
            od
        fi
    :: else -> break
    od;
    over++
}

/* Takes what is there of ring c and answers it. */
inline serve(c) {
    do
    :: atomic { memory[STAIL(c)] != taken[c] -> taken[c] = memory[STAIL(c)] };
        store(SERVER, CTAIL(c), taken[c]);
#if BROKEN != 6
        fence(SERVER);
#endif
        if
        :: memory[CLIENT_ASLEEP(c)] -> sleeping[c] = false
        :: else
        fi
    :: memory[STAIL(c)] == taken[c] -> break
    od
}

/* Says of ring c that the server sleeps, and whether there is a reason not to. */
inline fall_asleep(c) {
#if BROKEN == 2
    ready[c] = false;
    store(SERVER, SERVER_ASLEEP(c), 1);
    fence(SERVER);
#else
    store(SERVER, SERVER_ASLEEP(c), 1);
#if BROKEN != 1
    fence(SERVER);
#endif
    ready[c] = (memory[STAIL(c)] != taken[c])
#endif
}

proctype Server() {
    byte taken[CLIENTS];
    bool ready[CLIENTS];
    /* It begins with a look at both. */
    ready[0] = true;
    ready[1] = true;
    do
    :: ready[0] ->
        store(SERVER, SERVER_ASLEEP(0), 0);
        serve(0);
        fall_asleep(0)
    :: ready[1] ->
        store(SERVER, SERVER_ASLEEP(1), 0);
        serve(1);
#if BROKEN == 7
        ready[1] = false
#else
        fall_asleep(1)
#endif
    :: !ready[0] && !ready[1] ->
end:
        /* epoll_wait(2). A ring of which the doorbell was not rung stays as it is: asleep. */
        atomic {
            rung[0] || rung[1];
            ready[0] = rung[0];
            ready[1] = rung[1];
            rung[0] = false;
            rung[1] = false
        }
    od
}

init {
    atomic {
        run Buffer(0);
        run Buffer(1);
        run Buffer(SERVER);
        run Client(0);
        run Client(1);
        run Server()
    }
}

ltl served { <> (over == CLIENTS) }
