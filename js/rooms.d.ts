/** What a hub tells whom: names of messages, and their data. Events are named by the server (`Said` becomes "said"). */
export type Events = Record<string, any>;

/** A message of one name, as it came. */
export interface Told<Name extends string = string, Data = any> {
  readonly event: Name;
  readonly data: Data;
  /** The room's; left out for a message that is for this user or connection alone, or for everyone. */
  readonly room?: string;
  /** In rooms with a history: who comes back with it gets what came after. */
  readonly position?: string;
}

/** Any of these messages. */
export type Message<E extends object = Events> = {
  [Name in keyof E & string]: Told<Name, E[Name]>;
}[keyof E & string];

/** Ends a subscription. */
export type Unsubscribe = () => void;

/**
 * Codes that the hub sends (a handler may have others), and those of this client:
 *
 * - `timeout`: no answer in time. It may have been done or not, if it was sent.
 * - `lost`: the connection broke before the answer. It may have been done or not; it is not sent again.
 * - `offline`: not connected, and too much waits to be sent already. It has not been sent.
 * - `closed`: the connection has ended for good, or this room has been left. It has not been sent.
 * - `removed`: the server has ended the membership of a room.
 * - `overflow`: a `for await` did not read messages in time.
 */
export type ErrorCode =
  | "timeout"
  | "lost"
  | "offline"
  | "closed"
  | "removed"
  | "overflow"
  | "invalid"
  | "unknown_type"
  | "unknown_command"
  | "not_joined"
  | "refused"
  | "forbidden"
  | "unauthorized"
  | "not_found"
  | "conflict"
  | "too_many"
  | "too_large"
  | "unavailable"
  | "internal"
  | (string & {});

/** What was asked for has not been done, or nobody knows. */
export class RoomsError extends Error {
  constructor(code: ErrorCode, detail?: string, field?: string);
  readonly name: "RoomsError";
  readonly code: ErrorCode;
  /** In words, if the server has any; else the code. */
  readonly detail: string;
  /** The field of the data that is wrong, where that is known. */
  readonly field: string | undefined;
}

/** `WebSocket`, as browsers have it. */
export interface WebSocketConstructor {
  new (url: any, protocols: string[]): {
    readonly readyState: number;
    onopen: any;
    onmessage: any;
    onclose: any;
    onerror: any;
    send(data: string): void;
    close(): void;
  };
}

export interface RoomsOptions {
  /**
   * For the hub. A function is asked before each connection, and, if what it gives is a JWT, again when 80 % of the
   * token's life are over, so that the connection goes on. None: the hub asks for none, or a cookie has it.
   * Where a string has expired, the connection ends for good.
   */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /**
   * `"auto"` (the default): WebSockets; if two in a row cannot be opened, or are ended by something on the way before the hub
   * says anything, Server-Sent Events and POST, which is remembered in the tab's `sessionStorage` for an hour.
   */
  transport?: "auto" | "websocket" | "sse";
  /** Seconds until a command that is not answered is rejected with `timeout`, waiting to be sent included. 10. */
  timeout?: number;
  /** Commands that wait for a connection at most; more are rejected with `offline`. 100. */
  queue?: number;
  /** The longest time before the first attempt to come back, in seconds; it doubles each time. 0.5. */
  minDelay?: number;
  /** What it doubles up to. The real time is random, between 0 and that. 20. */
  maxDelay?: number;
  /** Seconds until an attempt to connect, or a POST, is given up. 10. */
  connectTimeout?: number;
  /** Instead of the global one. Without any, Server-Sent Events are used. */
  WebSocket?: WebSocketConstructor;
  /** Instead of the global one. It must give the body as a stream. */
  fetch?: (url: any, options?: any) => Promise<any>;
}

export interface SendOptions {
  /** Seconds, instead of `RoomsOptions.timeout`; `null`: for as long as it takes. */
  timeout?: number | null;
}

export interface Joined {
  /** Where live messages begin; left out where the room has no history. */
  readonly position?: string;
  /**
   * Whether all that was said since our position has come, or comes now. `false`: some is missing, so load anew what
   * it told. Left out where there was no position.
   */
  readonly recovered?: boolean;
  /** Why it has not: `epoch_changed`, `expired`, `too_many` or `unavailable`. */
  readonly reason?: string;
  /** Whether this is another connection than the one that joined first. */
  readonly again: boolean;
}

/** One connection of a user who is present: a tab, a phone. */
export interface Present<Metadata = any> {
  readonly id: string;
  readonly metadata: Metadata;
}

/** Users, each with their connections, oldest first. */
export type People<Metadata = any> = Readonly<Record<string, readonly Present<Metadata>[]>>;

/** Who is in a room, where the hub keeps presence for it. */
export interface Presence<Metadata = any> {
  /** As last known; another object after each change. Empty where they are too many to be named. */
  readonly users: People<Metadata>;
  /** How many users there are. */
  readonly count: number;
  /** Whether `users` names them: not before we know, and not where they are too many. */
  readonly listed: boolean;

  /** Somebody came or went, or told something else; and after each join of ours. */
  on(event: "change", listener: (users: People<Metadata>) => void): Unsubscribe;
  /**
   * A user came, went (with what they were), or has other connections or metadata. Not told of those who are there when
   * we join first; told of what has changed while we were away.
   */
  on(
    event: "join" | "leave" | "update",
    listener: (user: string, connections: readonly Present<Metadata>[]) => void,
  ): Unsubscribe;
  off(event: "change" | "join" | "leave" | "update", listener: (...details: any[]) => void): void;

  /**
   * Tell the others more of this connection: a JSON object, in place of what was told before. It is told again after each
   * reconnect. What it gives need not be awaited: it rejects if the hub refuses it.
   */
  update(metadata: Metadata): Promise<void>;
}

/**
 * A room that we are in, or will be once connected. Messages with its `for await` come from the moment of the first
 * `next()` on; it ends when the room is left or the connection closed by us, throws when that was the server's will, and
 * throws `overflow` once it is more than 1,000 messages behind, after those.
 */
export interface Room<E extends object = Events, Metadata = any> extends AsyncIterable<Message<E>> {
  readonly name: string;
  /** Of the last message that was told; what comes after it comes after a reconnect too. */
  readonly position: string | undefined;
  /** The first join. Rejects with the hub's error if it is refused, and with `closed` if the room is left before. */
  readonly joined: Promise<Joined>;
  readonly presence: Presence<Metadata>;

  /** We are in, for the first time or again after a reconnect. Messages that came before it are told after it. */
  on(event: "joined", listener: (joined: Joined) => void): Unsubscribe;
  /**
   * We are out, for good: `rooms.join` makes another handle. With an error unless the page wanted it: `removed`, `closed`,
   * or why the hub refused the room.
   */
  on(event: "left", listener: (error: RoomsError | undefined) => void): Unsubscribe;
  /** Every message. */
  on(event: "*", listener: (data: E[keyof E], message: Message<E>) => void): Unsubscribe;
  /**
   * A message by its name. Those that are named like one of the three above are told under `"message:joined"`,
   * `"message:left"` and `"message:*"`; the prefix works for every name.
   */
  on<Name extends keyof E & string>(
    event: Name | `message:${Name}`,
    listener: (data: E[Name], message: Told<Name, E[Name]>) => void,
  ): Unsubscribe;
  off(event: string, listener: (...details: any[]) => void): void;

  /** A command for the hub's handler. Resolves with its reply; rejects with a `RoomsError`. Data is anything JSON can say. */
  send<Reply = any>(command: string, data?: unknown, options?: SendOptions): Promise<Reply>;
  /** To everyone in the room, where the hub allows it. Resolves once the hub has it. */
  publish<Name extends keyof E & string>(event: Name, data?: E[Name], options?: SendOptions): Promise<null>;
  /** Harmless twice. What is said afterwards is not told. */
  leave(): void;
}

/**
 * - `connecting`: an attempt is under way.
 * - `connected`: the hub has taken us in.
 * - `waiting`: for the next attempt, or for a page that went "back" to be shown again.
 * - `closed`: for good.
 */
export type State = "connecting" | "connected" | "waiting" | "closed";

export interface Closed {
  /** The close code; 1000 after `close()`. */
  readonly code: number;
  readonly reason: string;
}

export interface Dropped {
  readonly messages: number;
  readonly bytes: number;
}

/**
 * A connection to a hub, which comes back by itself, with its rooms and their positions, until it is closed or the hub says
 * not to come back. It connects when it is made.
 *
 * What is sent while there is no connection waits, in order, within `timeout` and `queue`. What was sent, and not answered,
 * when a connection broke is rejected with `lost`.
 *
 * A listener that throws is reported, as an uncaught error is, and disturbs nothing else.
 */
export class Rooms<E extends object = Events> {
  /**
   * @param url The hub's: relative to the page, or absolute, with http, https, ws or wss.
   * @throws {TypeError} It is no URL, or relative where there is no page.
   */
  constructor(url: string | { readonly href: string }, options?: RoomsOptions);

  readonly state: State;
  /** Who we are, as the hub told last; `null` without a user. */
  readonly user: string | null | undefined;
  /** The id of this connection, as presence names it. */
  readonly connection: string | undefined;

  on(event: "state", listener: (state: State) => void): Unsubscribe;
  /**
   * What nobody awaits: the token function failed, a room or a refresh was refused. Without a listener it is a warning on the
   * console.
   */
  on(event: "error", listener: (error: Error) => void): Unsubscribe;
  /** The connection has ended for good. */
  on(event: "close", listener: (closed: Closed) => void): Unsubscribe;
  /** We were too slow, and so much of rooms without a history has not been sent to us. */
  on(event: "dropped", listener: (dropped: Dropped) => void): Unsubscribe;
  /** Every message that is not of a room. */
  on(event: "*", listener: (data: E[keyof E], message: Message<E>) => void): Unsubscribe;
  /**
   * A message that is not of a room: for this user or connection alone, or for everyone. Those that are named like one of
   * the five above are told under `"message:state"` and so on; the prefix works for every name.
   */
  on<Name extends keyof E & string>(
    event: Name | `message:${Name}`,
    listener: (data: E[Name], message: Told<Name, E[Name]>) => void,
  ): Unsubscribe;
  off(event: string, listener: (...details: any[]) => void): void;

  /**
   * Join a room, at once or when connected, and again after each reconnect. The same handle for the same name, until it is
   * left. Where the hub says `unavailable`, it is tried again by itself.
   *
   * @param options.since A position that was kept from before: what came after it is sent.
   */
  join<R extends object = Events, Metadata = any>(name: string, options?: { since?: string }): Room<R, Metadata>;
  /** A command that belongs to no room. */
  send<Reply = any>(command: string, data?: unknown, options?: SendOptions): Promise<Reply>;
  /** For good. What waits is rejected with `closed`, what was sent with `lost`; nothing is left that keeps node running. */
  close(): void;
}
