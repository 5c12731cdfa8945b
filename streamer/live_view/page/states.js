// What a camera's state and its reason are called.

export const TROUBLES = {
  pictures_damaged: "pictures damaged",
  frozen: "picture frozen",
  black: "picture black",
  faces_too_small: "faces too small to name",
};
export const REASONS = {
  camera_login_refused: "it refuses the service's login",
  camera_not_found: "it has no such stream",
  camera_protocol_missing: "this installation does not speak its protocol",
  camera_unreachable: "it can't be reached",
  camera_variable_unset: "a variable in its URL is not set",
  ended: "its clip is over",
  no_publisher: "nobody publishes to it",
  starting: "the service is starting",
  stopped: "the service is stopping",
  stream_invalid: "its stream can't be decoded",
  stream_lost: "its stream broke off",
  stream_no_video: "its stream has no video",
  stream_stalled: "its stream stood still",
  stream_unsupported: "what is published to it is of a kind that is not taken",
};
